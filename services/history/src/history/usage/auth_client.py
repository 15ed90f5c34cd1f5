"""HTTP client of auth: user names for the usage reports of administrators."""

from collections.abc import Collection, Mapping
from uuid import UUID

import httpx2
import orjson
import structlog

log = structlog.get_logger()

NAMES_TIMEOUT = 1.0
"""Seconds to wait for user names; afterwards a report has none."""


class AuthUsernameSource:
    """Asks auth for user names with the token of the administrator who reads the report."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        """Use a client whose base URL is auth."""
        self._client = client

    async def usernames(self, user_ids: Collection[UUID], token: str) -> Mapping[UUID, str]:
        """Return user names by id. Empty when auth does not respond in time."""
        body = {"user_ids": [str(user_id) for user_id in user_ids]}
        headers = {"Authorization": f"Bearer {token}"}
        try:
            response = await self._client.post("/internal/users/names", json=body, headers=headers)
            response.raise_for_status()
            return {UUID(user_id): str(name) for user_id, name in orjson.loads(response.content)["names"].items()}
        except (httpx2.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("usernames_unavailable", reason=type(error).__name__)
            return {}
