"""Public keys of the auth service (JWKS), fetched over HTTP and cached."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import httpx2
import jwt
import structlog

from parley import errors
from parley.process.timeouts import at_most
from parley.web.http_client import open_client

log = structlog.get_logger()

ALGORITHMS = ("EdDSA", "ES256")
FETCH_TIMEOUT = 2.0
FIRST_FETCH_COOLDOWN = 1.0
"""Seconds between two fetches while no key has been fetched yet."""
FIRST_FETCH_ATTEMPTS = 2
"""Fetches of the first keys after connections failed: one may meet a replica of auth that is being replaced."""

PRELOAD_TIMEOUT = 15.0
"""Seconds in which a starting process gets its first keys; afterwards it starts without, and verifies no token yet."""
PRELOAD_INTERVAL = 0.5
"""Seconds between two fetches of a starting process."""

FetchKeys = Callable[[], Awaitable[Mapping[str, Any]]]
Clock = Callable[[], float]
ReportWait = Callable[[str | None], None]


@contextlib.asynccontextmanager
async def open_key_set(
    jwks_url: str, *, preload: bool = True, report: ReportWait = lambda _: None
) -> AsyncIterator["KeySet"]:
    """Open a key set that fetches its keys from ``jwks_url``.

    With ``preload``, it has keys from the start, if auth responds: a new replica's first requests must not wait.
    ``report`` gets what the start waits for, and None when it no longer waits.
    """
    async with open_client(read_timeout=FETCH_TIMEOUT, max_connections=2) as client:

        async def fetch() -> Mapping[str, Any]:
            response = await client.get(jwks_url)
            response.raise_for_status()
            document: Mapping[str, Any] = response.json()
            return document

        keys = KeySet(fetch)
        if preload:
            await keys.preload(report)
        yield keys


class KeySet:
    """Public keys by key id.

    Keys are fetched again after ``lifetime`` seconds, and for an unknown key id at most once in ``cooldown`` seconds.
    When a fetch fails, the keys fetched before stay in use.
    """

    def __init__(
        self, fetch: FetchKeys, *, lifetime: float = 300, cooldown: float = 30, clock: Clock = time.monotonic
    ) -> None:
        """Use ``fetch`` to get the JWKS document; it may raise any exception."""
        self._fetch, self._lifetime, self._cooldown, self._clock = fetch, lifetime, cooldown, clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def preload(self, report: ReportWait = lambda _: None) -> None:
        """Fetch the keys, again until auth has responded with them, for at most ``PRELOAD_TIMEOUT`` seconds.

        In a new cluster, auth has no address at first, and then one that refuses connections for a few seconds.
        """
        reason = None
        async with at_most(PRELOAD_TIMEOUT) as wait:
            while (error := await self._fetch_keys()) is not None:
                if reason is None:
                    report("auth")
                    log.warning("start_waits", dependency="auth", reason=type(error).__name__)
                reason = type(error).__name__
                await asyncio.sleep(PRELOAD_INTERVAL)
        report(None)
        if wait.expired:
            log.warning("started_without_keys", waited=PRELOAD_TIMEOUT, reason=reason)

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """Return the key with this id, or None when auth does not publish it.

        Raises DependencyUnavailable while no key has ever been fetched.
        """
        if kid not in self._keys or self._clock() - self._fetched_at > self._lifetime:
            await self._refresh(kid)
        if not self._keys:
            raise errors.DependencyUnavailable("Access tokens cannot be verified right now. Try again later.")
        return self._keys.get(kid)

    async def _refresh(self, kid: str) -> None:
        async with self._lock:
            age = self._clock() - self._fetched_at
            if kid in self._keys and age <= self._lifetime:
                return
            cooldown = self._cooldown if self._keys else FIRST_FETCH_COOLDOWN
            if self._clock() - self._tried_at < cooldown:
                return
            try:
                await self._load()
            finally:
                self._tried_at = self._clock()

    async def _load(self) -> None:
        for left in reversed(range(1 if self._keys else FIRST_FETCH_ATTEMPTS)):
            error = await self._fetch_keys()
            if error is None or not left or not isinstance(error, httpx2.TransportError):
                break
        if error is not None:
            log.warning("jwks_fetch_failed", reason=type(error).__name__)

    async def _fetch_keys(self) -> Exception | None:
        """Fetch the keys once; return the error, which leaves the cached keys in use."""
        try:
            self._use(await self._fetch())
        except Exception as error:  # noqa: BLE001 - any failure may be over at the next fetch
            return error
        return None

    def _use(self, document: Mapping[str, Any]) -> None:
        found = [jwt.PyJWK(key) for key in document["keys"] if key.get("alg") in ALGORITHMS]
        self._keys = {key.key_id: key for key in found if key.key_id}
        self._fetched_at = self._clock()
