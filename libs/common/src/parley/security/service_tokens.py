"""Tokens for calls without a user: a service's own, by OAuth2 ``client_credentials``."""

import asyncio
import base64
import time
from collections.abc import Callable

import httpx2
import structlog
from pydantic import SecretStr

from parley.errors import DependencyUnavailable

log = structlog.get_logger()

RENEWAL_MARGIN = 60
"""Seconds before its end from which a token is replaced."""
_PATH = "/api/v1/auth/token"


class ServiceTokenProvider:
    """Gives the access token of one service; fetched once for all who wait, kept until shortly before its end."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        *,
        auth_url: str,
        service: str,
        secret: SecretStr | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a client with timeouts, and the secret of the OAuth2 client ``parley-<service>``."""
        self._client, self._url, self._clock = client, f"{auth_url.rstrip('/')}{_PATH}", clock
        self._client_id, self._secret = f"parley-{service}", secret
        self._token, self._until = "", float("-inf")
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        """Return a token of scope ``internal``; raises DependencyUnavailable."""
        async with self._lock:
            if self._clock() >= self._until:
                await self._fetch()
            return self._token

    def invalidate(self) -> None:
        """Fetch a new token next time: this one was refused."""
        self._until = float("-inf")

    async def _fetch(self) -> None:
        if self._secret is None:
            raise DependencyUnavailable("This service has no credentials of its own.")
        pair = f"{self._client_id}:{self._secret.get_secret_value()}"
        headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        form = {"grant_type": "client_credentials", "scope": "internal"}
        try:
            response = await self._client.post(self._url, data=form, headers=headers)
            response.raise_for_status()
            answer = response.json()
            self._token, lifetime = str(answer["access_token"]), float(answer["expires_in"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            log.warning("service token not fetched", reason=type(error).__name__)
            raise DependencyUnavailable("No token for calls between services.") from error
        self._until = self._clock() + max(0.0, lifetime - RENEWAL_MARGIN)
