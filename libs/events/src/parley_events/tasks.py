"""Background tasks of a subscriber."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

CANCEL_INTERVAL = 0.5


@contextlib.asynccontextmanager
async def running(*loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run endless loops as tasks while the context is entered."""
    tasks = [asyncio.ensure_future(loop()) for loop in loops]
    try:
        yield
    finally:
        # Python 3.11 loses a cancellation that arrives while a ``wait_for`` ends, so cancel until the task is done.
        while pending := [task for task in tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=CANCEL_INTERVAL)
