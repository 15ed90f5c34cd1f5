"""Background tasks: restarted after they fail or end, slowed when their waits end at once, awaited on exit."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Literal, NamedTuple

import structlog

log = structlog.get_logger()

MIN_RESTART_DELAY = 0.2
MAX_RESTART_DELAY = 10.0
"""Seconds before a failed task is restarted; doubled after each failure up to the maximum."""
HEALTHY_AFTER = 30.0
"""A task that ran this many seconds has recovered: its next restart delay is the minimum again."""
CANCEL_INTERVAL = 0.5
"""Seconds after which a task that is still running is cancelled again."""

TOLERATED_EARLY_ENDS = 10
"""Waits in a row that may end early without a result, as after a reconnect."""

Loop = Callable[[], Awaitable[None]]


class Incident(NamedTuple):
    """A background task that failed, ended although it should run for ever, or had to be slowed."""

    service: str
    task: str
    kind: Literal["failed", "ended", "slowed"]


incidents: Counter[Incident] = Counter()
"""Incidents of this process; each service exports its own as a metric."""
_current: ContextVar[tuple[str, str]] = ContextVar("background_task", default=("", ""))


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
    _current.set((service, name))
    pause = MIN_RESTART_DELAY
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        try:
            await loop()
        except Exception:
            incidents[Incident(service, name, "failed")] += 1
            log.exception("background_task_failed", task=name, retry_in_s=pause)
        else:
            incidents[Incident(service, name, "ended")] += 1
            log.warning("background_task_ended", task=name, retry_in_s=pause)
        if clock() - began > HEALTHY_AFTER:
            pause = MIN_RESTART_DELAY
        await asyncio.sleep(pause)
        pause = min(pause * 2, MAX_RESTART_DELAY)


class EarlyEnds:
    """Slows a loop whose waits end early without a result, again and again.

    A wait of a library or a server can end at once, for ever. Such a loop must not go round without a pause: it would
    stop the event loop, and with it the process.
    """

    def __init__(self, seconds: float) -> None:
        """``seconds`` is the length of one wait."""
        self._seconds, self._clock = seconds, asyncio.get_running_loop().time
        self._began, self._early = self._clock(), 0

    def start(self) -> None:
        """Note the start of a wait."""
        self._began = self._clock()

    async def no_result(self) -> None:
        """Note that a wait ended without a result; pause if too many ended early."""
        if self._clock() - self._began >= self._seconds / 2:
            self._early = 0
            return
        self._early += 1
        if self._early <= TOLERATED_EARLY_ENDS:
            await asyncio.sleep(0)
            return
        if self._early == TOLERATED_EARLY_ENDS + 1:
            service, task = _current.get()
            incidents[Incident(service, task, "slowed")] += 1
            log.warning("background_task_slowed", task=task, pause_s=self._seconds)
        await asyncio.sleep(self._seconds)
