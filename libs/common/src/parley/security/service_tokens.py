"""Access tokens of services, for calls without a user (OAuth2 ``client_credentials``)."""

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
"""Seconds before its expiry at which a token is replaced."""
_PATH = "/api/v1/auth/token"


class ServiceTokenProvider:
    """Fetches the access token of one service, and caches it until shortly before it expires."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        *,
        auth_url: str,
        service: str,
        secret: SecretStr | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use the OAuth2 client ``parley-<service>`` with its ``secret``."""
        self._client, self._url, self._clock = client, f"{auth_url.rstrip('/')}{_PATH}", clock
        self._client_id, self._secret = f"parley-{service}", secret
        self._token, self._until = "", float("-inf")
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        """Return a token with the scope ``internal``; raise DependencyUnavailable when auth issues none."""
        async with self._lock:
            if self._clock() >= self._until:
                await self._fetch()
            return self._token

    def invalidate(self) -> None:
        """Discard the cached token, after a service has rejected it."""
        self._until = float("-inf")

    async def _fetch(self) -> None:
        if self._secret is None:
            raise DependencyUnavailable("This service has no secret for calls to other services.")
        pair = f"{self._client_id}:{self._secret.get_secret_value()}"
        headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        form = {"grant_type": "client_credentials", "scope": "internal"}
        try:
            response = await self._client.post(self._url, data=form, headers=headers)
            response.raise_for_status()
            answer = response.json()
            self._token, lifetime = str(answer["access_token"]), float(answer["expires_in"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            log.warning("service_token_fetch_failed", reason=type(error).__name__)
            raise DependencyUnavailable(
                "The auth service issued no token for calls between services. Try again later."
            ) from error
        self._until = self._clock() + max(0.0, lifetime - RENEWAL_MARGIN)
