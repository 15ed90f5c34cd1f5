"""Background tasks: restarted after an exception, awaited on exit."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

log = structlog.get_logger()

MIN_RESTART_DELAY = 0.2
MAX_RESTART_DELAY = 10.0
"""Seconds before a failed task is restarted; doubled after each failure up to the maximum."""
HEALTHY_AFTER = 30.0
"""A task that ran this many seconds has recovered: its next restart delay is the minimum again."""
CANCEL_INTERVAL = 0.5
"""Seconds after which a task that is still running is cancelled again."""

Loop = Callable[[], Awaitable[None]]


def is_cancelled() -> bool:
    """Return whether the current task is being cancelled.

    A ``CancelledError`` is no cancellation of the task that receives it when another task, or a future, was cancelled.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@contextlib.asynccontextmanager
async def background(name: str, loop: Loop, *, service: str = "") -> AsyncIterator[asyncio.Task[None]]:
    """Run ``loop`` while the context is open; exceptions are logged and the loop is restarted."""
    task = asyncio.create_task(_keep_running(name, loop, service), name=name)
    try:
        yield task
    finally:
        await _stop(task)


async def _stop(task: asyncio.Task[None]) -> None:
    # Repeated because Python 3.11 loses a cancellation that arrives just as ``wait_for`` returns.
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
            log.exception("background_task_failed", task=name, retry_in_s=pause)
        if clock() - began > HEALTHY_AFTER:
            pause = MIN_RESTART_DELAY
        await asyncio.sleep(pause)
        pause = min(pause * 2, MAX_RESTART_DELAY)
