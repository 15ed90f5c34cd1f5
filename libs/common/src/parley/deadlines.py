"""A time limit that does not blame others for a stall of our own event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

ROUNDS = 10
"""Turns of the event loop between the end of the time and the cancellation: an answer that is here gets through."""


@contextlib.asynccontextmanager
async def patient_timeout(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after ``seconds``, unless the answer only waited for this process to read it."""
    loop = asyncio.get_running_loop()
    pending: asyncio.Handle

    def expire(rounds: int) -> None:
        nonlocal pending
        if rounds:
            pending = loop.call_soon(expire, rounds - 1)
        else:
            deadline.reschedule(loop.time())

    async with asyncio.timeout(None) as deadline:
        pending = loop.call_later(seconds, expire, ROUNDS)
        try:
            yield
        finally:
            pending.cancel()
