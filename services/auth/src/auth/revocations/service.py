"""Carrying revocations to where they are enforced, until they stuck."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from auth.model import Revocation
from auth.revocations.ports import RevocationMirror
from auth.revocations.ports import Revocations as Store
from parley.errors import DependencyUnavailable, TokenRevoked
from parley.ids import parse_id
from parley.security.identity import Principal, Verifier
from parley.storage.redis import REDIS_UNAVAILABLE

log = structlog.get_logger()

INTERVAL = 1.0
AWAY: tuple[type[BaseException], ...] = (*REDIS_UNAVAILABLE, DependencyUnavailable)
CHUNK = 500
"""Copied in one round trip: the client gives each only 50 ms."""


class Revocations:
    """Copies to Redis what Postgres says is void, and answers who asks instead of Redis."""

    def __init__(self, store: Store, mirror: RevocationMirror) -> None:
        """Take the truth and its copy."""
        self._store, self._mirror = store, mirror
        self._instance: str | None = None
        self._lock = asyncio.Lock()

    async def push(self) -> None:
        """Copy what is new, now; what fails is copied by the loop."""
        try:
            await self._push_new()
        except AWAY as error:
            log.warning("revocations not copied", reason=type(error).__name__)

    async def watch(self, interval: float = INTERVAL) -> None:
        """Copy for ever; everything again whenever Redis may have lost it."""
        while True:
            try:
                await self.synchronise()
            except AWAY as error:
                self._instance = None
                log.warning("revocations not copied", reason=type(error).__name__)
            await asyncio.sleep(interval)

    async def synchronise(self) -> None:
        """Copy what is new, or everything when the marker is gone or Redis was started anew."""
        instance = await self._mirror.instance()
        if instance is None or instance != self._instance:
            await self._write(await self._store.live())
            await self._mirror.complete()
            self._instance = instance or await self._mirror.instance()
        else:
            await self._push_new()

    async def among(self, sessions: Sequence[str], users: Mapping[str, int]) -> tuple[list[str], list[str]]:
        """Return which of the sessions are revoked, and which users with tokens issued at that second."""
        ids = [found for found in map(parse_id, sessions) if found]
        asked = {found: issued for text, issued in users.items() if (found := parse_id(text))}
        ended, void = await self._store.among(ids, asked)
        return [str(i) for i in ended], [str(i) for i in void]

    async def is_revoked(self, principal: Principal) -> bool:
        """Say whether a token that verifies was revoked."""
        session = parse_id(principal.session_id)
        ended, void = await self._store.among([session] if session else [], {principal.user_id: principal.issued_at})
        return bool(ended or void)

    async def _push_new(self) -> None:
        async with self._lock:
            await self._write(await self._store.unpushed())

    async def _write(self, found: Sequence[Revocation]) -> None:
        for start in range(0, len(found), CHUNK):
            chunk = found[start : start + CHUNK]
            await self._mirror.write(chunk)
            await self._store.mark_pushed(chunk)


class LiveVerifier:
    """Verifies tokens and that nothing revoked them: auth has the truth at hand and need not wait for a copy."""

    def __init__(self, inner: Verifier, revocations: Revocations) -> None:
        """Take what verifies signatures."""
        self._inner, self._revocations = inner, revocations

    async def verify(self, token: str) -> Principal:
        """Return the principal; raises an Unauthenticated error or DependencyUnavailable."""
        principal = await self._inner.verify(token)
        if await self._revocations.is_revoked(principal):
            raise TokenRevoked
        return principal
