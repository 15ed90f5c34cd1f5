"""HTTP client of auth: the plans of users, for the budget reports of administrators."""

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import httpx2
import orjson

from chat.settings import ChatSettings
from parley.errors import DependencyUnavailable
from parley.observability.tracing import Tracer
from parley.web.http_client import open_client

PLAN_TIMEOUT = 2.0
"""Seconds to wait for the plan of a user."""


class AuthPlanLookup:
    """Reads accounts with the token of the administrator who asks for them."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        """Use a client whose base URL is auth."""
        self._client = client

    async def plan_of(self, user_id: UUID, token: str) -> str | None:
        """Return the plan of a user, or None if the account does not exist; raises DependencyUnavailable."""
        headers = {"Authorization": f"Bearer {token}"}
        try:
            response = await self._client.get(f"/api/v1/admin/users/{user_id}", headers=headers)
            if response.status_code == httpx2.codes.NOT_FOUND:
                return None
            response.raise_for_status()
            return str(orjson.loads(response.content)["plan"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            raise DependencyUnavailable("The auth service does not respond. Try again later.") from error


@contextlib.asynccontextmanager
async def open_plan_lookup(settings: ChatSettings, tracer: Tracer | None) -> AsyncIterator[AuthPlanLookup]:
    """Open the lookup of plans."""
    async with open_client(settings.auth_url, read_timeout=PLAN_TIMEOUT, tracer=tracer) as client:
        yield AuthPlanLookup(client)
