"""One trip to Redis for many checks: what arrives while one is under way waits for the next."""

import asyncio
from collections.abc import Callable, Coroutine

from parley.ratelimit.script import Check

BATCH = 128
"""Most checks in one call: bounds how long one call keeps Redis busy."""
IN_FLIGHT = 1
"""Calls open at once; what arrives meanwhile is collected for the next: one trip for many."""
MAX_WAITING = 10_000

Fly = Callable[[list[Check]], Coroutine[None, None, None]]


class Flights:
    """Collects checks, and hands them on in batches."""

    def __init__(self, fly: Fly) -> None:
        """Take what asks Redis, and resolves every check of its batch."""
        self._fly = fly
        self._waiting: list[Check] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def add(self, check: Check) -> bool:
        """Let a check wait for the next flight; False when too many do."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(check)
        if not self._scheduled:
            self._schedule()
        return True

    def take_waiting(self) -> list[Check]:
        """Return the checks that wait; they are the caller's now."""
        waiting, self._waiting = self._waiting, []
        return waiting

    async def landed(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for what is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout)

    def _schedule(self) -> None:
        if not self._scheduled and len(self._under_way) < IN_FLIGHT:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._take_off)

    def _take_off(self) -> None:
        self._scheduled = False
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        if not batch:
            return
        flight = asyncio.get_running_loop().create_task(self._fly(batch))
        self._under_way.add(flight)
        flight.add_done_callback(self._land)
        if self._waiting:
            self._schedule()

    def _land(self, flight: "asyncio.Task[None]") -> None:
        self._under_way.discard(flight)
        if self._waiting:
            self._schedule()
