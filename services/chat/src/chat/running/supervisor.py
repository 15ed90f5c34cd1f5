"""The supervisor of the turns that this process runs. It is opened with the app; requests only watch."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, TypeVar
from uuid import UUID

import structlog

from chat.metrics import ChatMetrics
from chat.running.outcome import StopReason
from chat.running.runner import Runner, TurnJob
from chat.running.turn_log import TurnLog
from parley.errors import Draining, Overloaded

log = structlog.get_logger()

LAST_CHANCE = 4.0
"""Seconds that interrupted turns get to be stored when the process ends."""

MakeRunner = Callable[[TurnJob], Runner]
Traced = Callable[[TurnLog], AbstractContextManager[None]]
T = TypeVar("T")


class Supervisor:
    """Keeps a task for each running turn, and for each piece of work that must outlive its request."""

    def __init__(
        self,
        make_runner: MakeRunner,
        *,
        runner_id: UUID,
        metrics: ChatMetrics,
        busy: Callable[[], AbstractContextManager[None]],
        limit: int,
        traced: Traced = lambda _: contextlib.nullcontext(),
    ) -> None:
        """Take what makes runners; ``busy`` and ``traced`` are entered while a turn runs: a drain waits for it."""
        self.runner_id = runner_id
        self._make_runner, self._metrics, self._busy, self._limit = make_runner, metrics, busy, limit
        self._traced = traced
        self._runners: dict[UUID, Runner] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def run_to_completion(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work to its end, even if whoever waits for it goes away."""
        if self._closed:
            work.close()
            raise Draining
        task = asyncio.create_task(work)
        self._hold(task)
        return await asyncio.shield(task)

    def require_capacity(self) -> None:
        """Raise Overloaded when this process runs as many turns as it may."""
        if len(self._runners) >= self._limit:
            raise Overloaded

    def start(self, job: TurnJob) -> TurnLog:
        """Run a turn; returns its log."""
        runner = self._make_runner(job)
        self._runners[job.turn.id] = runner
        self._hold(asyncio.create_task(self._run(job, runner), name=f"turn {job.turn.id}"))
        return runner.log

    def log(self, turn_id: UUID) -> TurnLog | None:
        """Return the log of a turn that runs here."""
        runner = self._runners.get(turn_id)
        return runner.log if runner else None

    def running(self) -> frozenset[UUID]:
        """Return the turns that run here."""
        return frozenset(self._runners)

    def stop(self, turn_id: UUID, reason: StopReason) -> None:
        """End a turn early if it runs here."""
        runner = self._runners.get(turn_id)
        if runner is not None:
            runner.stop(reason)

    def interrupt_all(self) -> None:
        """End all turns: the process is about to go."""
        for runner in self._runners.values():
            runner.stop("interrupted")

    async def _run(self, job: TurnJob, runner: Runner) -> None:
        self._metrics.running.inc()
        try:
            with self._busy(), self._traced(runner.log):
                await runner.run()
        except Exception:
            log.exception("turn not finished", turn_id=str(job.turn.id))
        finally:
            self._metrics.running.dec()
            self._runners.pop(job.turn.id, None)
            if runner.log.state in {"open", "pending"}:
                runner.log.abandon()

    def _hold(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._release)

    def _release(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Supervisor"]:
        """Interrupt what still runs when the context ends, and wait until it is stored."""
        try:
            yield self
        finally:
            self._closed = True
            self.interrupt_all()
            if self._tasks:
                _, late = await asyncio.wait(set(self._tasks), timeout=LAST_CHANCE)
                for task in late:
                    task.cancel()
                if late:
                    log.error("turns left to recovery", count=len(late))
                    await asyncio.wait(late, timeout=1)
