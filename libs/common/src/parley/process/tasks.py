"""Background work that is kept, restarted when it fails, and awaited at the end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

log = structlog.get_logger()

MIN_RESTART_DELAY = 0.2
MAX_RESTART_DELAY = 10.0
"""Seconds between restarts of a failing loop: doubled from the first to the longest."""
HEALTHY_AFTER = 30.0
"""A loop that ran this many seconds has recovered: its next pause is short again."""
CANCEL_INTERVAL = 0.5
"""Seconds after which a task that goes on is cancelled once more."""

Loop = Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def background(name: str, loop: Loop, *, service: str = "") -> AsyncIterator[asyncio.Task[None]]:
    """Run ``loop`` for as long as the context is entered; an exception is logged and the loop started again."""
    task = asyncio.create_task(_keep_running(name, loop, service), name=name)
    try:
        yield task
    finally:
        await _stop(task)


async def _stop(task: asyncio.Task[None]) -> None:
    # Again until it is heard: in Python 3.11 a cancellation that meets the very end of a ``wait_for`` gets lost.
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_INTERVAL)


async def _keep_running(name: str, loop: Loop, service: str) -> None:
    structlog.contextvars.clear_contextvars()
    if service:
        structlog.contextvars.bind_contextvars(service=service)
    pause = MIN_RESTART_DELAY
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        try:
            await loop()
        except Exception:
            log.exception("background task failed", task=name, retry_in_s=pause)
        if clock() - began > HEALTHY_AFTER:
            pause = MIN_RESTART_DELAY
        await asyncio.sleep(pause)
        pause = min(pause * 2, MAX_RESTART_DELAY)
