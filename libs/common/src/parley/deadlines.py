"""A time limit that does not blame others for a stall of our own event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

ROUNDS = 10
"""Turns of the event loop between the end of the time and the cancellation: an answer that is here gets through."""


@contextlib.asynccontextmanager
async def patient_timeout(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after ``seconds``, unless the answer only waited for this process to read it."""
    async with asyncio.timeout(None) as deadline:
        patience = _Patience(deadline, seconds)
        try:
            yield
        finally:
            patience.end()


class _Patience:
    """Ends the time; its own end breaks the circle with the event loop, so that nothing is left to the collector."""

    def __init__(self, deadline: asyncio.Timeout, seconds: float) -> None:
        self._deadline, self._loop = deadline, asyncio.get_running_loop()
        self._pending: asyncio.Handle | None = self._loop.call_later(seconds, self._expire, ROUNDS)

    def _expire(self, rounds: int) -> None:
        if rounds:
            self._pending = self._loop.call_soon(self._expire, rounds - 1)
        else:
            self._deadline.reschedule(self._loop.time())

    def end(self) -> None:
        """Stop counting."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
