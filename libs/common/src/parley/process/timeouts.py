"""Time limits that do not blame others for a stall of our own event loop, or cost nothing while all is well."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

EXTRA_LOOP_TURNS = 10
"""Turns of the event loop between the end of the time and the cancellation: an answer that is here gets through."""


@contextlib.asynccontextmanager
async def lag_tolerant_timeout(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after ``seconds``, unless the answer only waited for this process to read it."""
    async with asyncio.timeout(None) as deadline:
        loop = asyncio.get_running_loop()
        timer = LagTolerantTimer(seconds, lambda: deadline.reschedule(loop.time()))
        try:
            yield
        finally:
            timer.cancel()


class LagTolerantTimer:
    """Calls back after ``seconds`` and some turns of the event loop, in which what is here already is read.

    Its end breaks the circle with the event loop, so that nothing is left to the collector.
    """

    def __init__(self, seconds: float, expired: Callable[[], None]) -> None:
        """Begin to count."""
        self._expired, self._loop = expired, asyncio.get_running_loop()
        self._pending: asyncio.Handle | None = self._loop.call_later(seconds, self._expire, EXTRA_LOOP_TURNS)

    def _expire(self, rounds: int) -> None:
        if rounds:
            self._pending = self._loop.call_soon(self._expire, rounds - 1)
        else:
            self._expired()

    def cancel(self) -> None:
        """Stop counting."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None


class IdleTimer:
    """Calls back each time ``seconds`` have passed since the last ``touch``, which is cheap: it moves no timer."""

    def __init__(self, seconds: float, expired: Callable[[], None]) -> None:
        """Begin to count."""
        self._seconds, self._expired = seconds, expired
        self._loop = asyncio.get_running_loop()
        self.touch()
        self._pending = self._loop.call_later(seconds, self._look)

    def touch(self) -> None:
        """Begin to count anew."""
        self._touched = self._loop.time()

    def stop(self) -> None:
        """Call back no more."""
        self._pending.cancel()

    def _look(self) -> None:
        left = self._touched + self._seconds - self._loop.time()
        if left > 0:
            self._pending = self._loop.call_later(left, self._look)
            return
        self.touch()
        self._pending = self._loop.call_later(self._seconds, self._look)
        self._expired()
