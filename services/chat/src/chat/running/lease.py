"""The lease of this process: while it holds, nobody else may take its turns."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import structlog

from chat.running.runner_store import RunnerStore
from parley.errors import DependencyUnavailable

log = structlog.get_logger()

BEAT = 1.0
LENGTH = 9.0
BEAT_TIMEOUT = 3.0
"""Seconds between beats, for which one holds, and that one may take."""


class RunnerLease:
    """Renewed by ``run``; ``held`` and ``seasoned`` cost nothing to ask."""

    def __init__(
        self,
        store: RunnerStore,
        runner_id: UUID,
        cancel: Callable[[UUID], None],
        *,
        length: float = LENGTH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take whom to tell of turns that are to be cancelled."""
        self._store, self._runner_id, self._cancel = store, runner_id, cancel
        self._length, self._clock = length, clock
        self._until = float("-inf")
        self._unbroken_since: float | None = None

    def held(self) -> bool:
        """Say whether this process still decides about its turns."""
        return self._clock() < self._until

    def seasoned(self) -> bool:
        """Say whether the lease was renewed without failure for its whole length.

        Before that an absent database may have kept the others from renewing theirs.
        """
        since = self._unbroken_since
        return since is not None and self.held() and self._clock() - since >= self._length

    async def run(self) -> None:
        """Renew the lease each second; never returns by itself."""
        while True:
            await self.beat()
            await asyncio.sleep(BEAT)

    async def beat(self) -> None:
        """Renew the lease once, and hear of cancelled turns."""
        began = self._clock()
        try:
            async with asyncio.timeout(BEAT_TIMEOUT):
                cancelled = await self._store.renew_lease(self._runner_id, self._length)
        except (DependencyUnavailable, TimeoutError):
            self._unbroken_since = None
            log.warning("lease not renewed")
            return
        if self._unbroken_since is None or not self.held():
            self._unbroken_since = began
        self._until = began + self._length
        for turn_id in cancelled:
            self._cancel(turn_id)
