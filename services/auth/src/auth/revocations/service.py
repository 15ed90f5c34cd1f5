"""Revocation service: copies stored revocations to the cache and checks tokens against the store."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from auth.revocations.model import Revocation
from auth.revocations.store import RevocationCache, RevocationStore
from parley.errors import DependencyUnavailable
from parley.ids import parse_id
from parley.process.outage_pause import OutagePause
from parley.security.identity import Principal
from parley.storage.redis import REDIS_UNAVAILABLE

log = structlog.get_logger()

COPY_INTERVAL = 1.0
COPY_ERRORS: tuple[type[BaseException], ...] = (*REDIS_UNAVAILABLE, DependencyUnavailable)
BATCH_SIZE = 500
"""Revocations per round trip; the Redis client limits a round trip to 50 ms."""


class RevocationService:
    """Copies revocations from the store to the cache, and checks tokens against the store."""

    def __init__(
        self, store: RevocationStore, cache: RevocationCache, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._cache = store, cache
        self._complete_run: str | None = None
        """The run of the cache server to which this process has copied every revocation."""
        self._copied_run: str | None = None
        self._copied_last: Revocation | None = None
        """The run to which a copy of every revocation is under way, and the last revocation that it has written."""
        self._pause = OutagePause(COPY_INTERVAL, clock=clock)
        self._lock = asyncio.Lock()

    async def push(self) -> None:
        """Copy new revocations now. After a failure, ``watch`` tries again, and further calls do nothing at first."""
        try:
            async with self._lock:
                if self._pause.is_over:
                    await self._write(await self._store.unpushed())
        except COPY_ERRORS as error:
            self._pause.begin()
            log.warning("revocation_copy_failed", reason=type(error).__name__)

    async def watch(self, interval: float = COPY_INTERVAL) -> None:
        """Copy new revocations every ``interval`` seconds, forever; all of them after the cache may have lost some."""
        while True:
            try:
                await self.synchronise()
            except COPY_ERRORS as error:
                self._complete_run = None
                log.warning("revocation_copy_failed", reason=type(error).__name__)
            await asyncio.sleep(interval)

    async def synchronise(self) -> None:
        """Copy new revocations, or all of them if the cache is incomplete or was restarted.

        After a failure, the next call goes on where the copy of all of them has come to.
        """
        state = await self._cache.state()
        if not state.is_complete or state.run != self._complete_run:
            await self._copy_all(state.run)
        async with self._lock:
            await self._write(await self._store.unpushed())

    async def _copy_all(self, run: str) -> None:
        if run != self._copied_run:
            self._copied_run, self._copied_last = run, None
        while page := await self._store.live(self._copied_last, BATCH_SIZE):
            await self._write(page)
            self._copied_last = page[-1]
        self._copied_run = None
        if (await self._cache.state()).run == run:
            await self._cache.complete()
            self._complete_run = run

    async def find_revoked(self, sessions: Sequence[str], users: Mapping[str, int]) -> tuple[list[str], list[str]]:
        """Return the revoked sessions, and the users whose token issued at that second is revoked."""
        ids = [found for found in map(parse_id, sessions) if found]
        issued_at = {found: issued for text, issued in users.items() if (found := parse_id(text))}
        ended, void = await self._store.find_revoked(ids, issued_at)
        return [str(i) for i in ended], [str(i) for i in void]

    async def is_revoked(self, principal: Principal) -> bool:
        """Return whether the token of a principal is revoked."""
        session = parse_id(principal.session_id)
        ended, void = await self._store.find_revoked(
            [session] if session else [], {principal.user_id: principal.issued_at}
        )
        return bool(ended or void)

    async def _write(self, found: Sequence[Revocation]) -> None:
        for start in range(0, len(found), BATCH_SIZE):
            batch = found[start : start + BATCH_SIZE]
            await self._cache.write(batch)
            await self._store.mark_pushed(batch)
