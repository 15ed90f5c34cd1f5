"""Limits of waits: without exceptions, tolerant of event-loop lag, and idle timers that are cheap to reset."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

EXTRA_LOOP_TURNS = 10
"""Event loop iterations between the timeout and the cancellation, in which data that has arrived is processed."""


def at_most(seconds: float | None) -> "WaitLimit":
    """Limit the wait inside an ``async with`` to ``seconds``. At the limit, the block ends without an exception.

    Use it in place of ``except TimeoutError``, which also catches errors of sockets: ``OSError(ETIMEDOUT)``, with which
    the kernel reports a lost host, is a TimeoutError. Here, these pass.
    """
    return WaitLimit(seconds)


class WaitLimit:
    """The limit of one wait; ``expired`` tells whether it ended the block."""

    __slots__ = ("_timeout", "expired")

    def __init__(self, seconds: float | None) -> None:
        self._timeout = asyncio.timeout(seconds)
        self.expired = False

    def end(self) -> None:
        """End the block now, as at the limit. It must be entered, and not have ended."""
        self._timeout.reschedule(asyncio.get_running_loop().time())

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:  # raised only by the timeout itself: exceptions of the block are not raised again here
            self.expired = True
        return self.expired


@contextlib.asynccontextmanager
async def lag_tolerant_timeout(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after ``seconds``, unless the reply has arrived and this process has not read it yet."""
    async with asyncio.timeout(None) as deadline:
        loop = asyncio.get_running_loop()
        timer = LagTolerantTimer(seconds, lambda: deadline.reschedule(loop.time()))
        try:
            yield
        finally:
            timer.cancel()


class LagTolerantTimer:
    """Calls ``expired`` after ``seconds`` plus ``EXTRA_LOOP_TURNS`` iterations of the event loop.

    ``cancel`` also breaks the reference cycle with the event loop, which spares the garbage collector.
    """

    def __init__(self, seconds: float, expired: Callable[[], None]) -> None:
        self._expired, self._loop = expired, asyncio.get_running_loop()
        self._pending: asyncio.Handle | None = self._loop.call_later(seconds, self._count_down, EXTRA_LOOP_TURNS)

    def _count_down(self, turns: int) -> None:
        if turns:
            self._pending = self._loop.call_soon(self._count_down, turns - 1)
        else:
            self._expired()

    def cancel(self) -> None:
        """Stop the timer."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None


class IdleTimer:
    """Calls ``expired`` whenever ``seconds`` have passed since the last ``touch``; ``touch`` reschedules nothing."""

    def __init__(self, seconds: float, expired: Callable[[], None]) -> None:
        self._seconds, self._expired = seconds, expired
        self._loop = asyncio.get_running_loop()
        self.touch()
        self._pending = self._loop.call_later(seconds, self._check)

    def touch(self) -> None:
        """Restart the idle time."""
        self._touched = self._loop.time()

    def stop(self) -> None:
        """Stop the timer."""
        self._pending.cancel()

    def _check(self) -> None:
        left = self._touched + self._seconds - self._loop.time()
        if left > 0:
            self._pending = self._loop.call_later(left, self._check)
            return
        self.touch()
        self._pending = self._loop.call_later(self._seconds, self._check)
        self._expired()
