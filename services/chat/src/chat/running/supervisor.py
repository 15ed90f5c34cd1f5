"""Supervisor of the turns that run in this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar
from uuid import UUID

import structlog

from chat.admission.turn_job import TurnJob
from chat.errors import TooManyOpenTurns
from chat.metrics import ChatMetrics
from chat.running.outcome import StopReason
from chat.running.runner import Runner
from chat.running.turn_log import TurnLog
from parley.errors import Draining, Overloaded
from parley.process.client_counts import ClientCounts

log = structlog.get_logger()

STORE_TIMEOUT = 4.0
"""Seconds for interrupted turns to be stored before the process exits."""
CANCEL_TIMEOUT = 1.0
USER_SHARE = 10
"""One of so many turns is the most that one user runs in a process, unless the plan has more streams.

Turns go on without a reader, so that the limit on streams does not bound them.
"""
MIN_TURNS_OF_USER = 100
"""A user may run so many turns in a process whose maximum is low."""
TOO_MANY = "At most {} of your turns run at the same time, also without a reader. Wait for one to end, or cancel one."

MakeRunner = Callable[[TurnJob], Runner]
TurnContext = Callable[[TurnLog], AbstractContextManager[None]]
T = TypeVar("T")


class Supervisor:
    """Owns a task for each running turn, and for work that must outlive its request."""

    def __init__(
        self,
        make_runner: MakeRunner,
        *,
        runner_id: UUID,
        metrics: ChatMetrics,
        track: Callable[[], AbstractContextManager[None]],
        limit: int,
        trace: TurnContext = lambda _: contextlib.nullcontext(),
    ) -> None:
        """Create a supervisor of at most ``limit`` turns.

        ``track`` and ``trace`` are entered while a turn runs: the drain waits for tracked turns.
        """
        self.runner_id = runner_id
        self._make_runner, self._metrics, self._track, self._limit = make_runner, metrics, track, limit
        self._trace = trace
        self._limit_of_user = max(MIN_TURNS_OF_USER, limit // USER_SHARE)
        self._runners: dict[UUID, Runner] = {}
        self._admitting: set[UUID] = set()
        self._turns_of = ClientCounts()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def run_to_completion(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, even if the caller is cancelled; raises Draining after the shutdown began."""
        return await asyncio.shield(self.begin(work))

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin work that must outlive its request; raises Draining after the shutdown began."""
        if self._closed:
            work.close()
            raise Draining
        task = asyncio.create_task(work)
        self._hold(task)
        return task

    @contextlib.contextmanager
    def admitting(self, turn_id: UUID, user_id: UUID, streams: int = 0) -> Iterator[None]:
        """Count a turn as one of this process while it is admitted, so that no recovery takes it for an abandoned one.

        Raises Overloaded if this process has its maximum of turns, TooManyOpenTurns if it has that of the user.
        ``streams``: open streams that the user's plan allows; the maximum of the user is never below it.
        """
        if len(self._runners) + len(self._admitting) >= self._limit:
            raise Overloaded
        most = max(self._limit_of_user, streams)
        if self._turns_of.of(user_id) >= most:
            raise TooManyOpenTurns(TOO_MANY.format(most))
        self._admitting.add(turn_id)
        try:
            with self._turns_of.counted(user_id):
                yield
        finally:
            self._admitting.discard(turn_id)

    def start(self, job: TurnJob) -> TurnLog:
        """Start a turn; returns its log."""
        runner = self._make_runner(job)
        self._runners[job.turn.id] = runner
        self._turns_of.add(job.turn.user_id)
        self._hold(asyncio.create_task(self._run(job, runner), name=f"turn {job.turn.id}"))
        return runner.log

    def log(self, turn_id: UUID) -> TurnLog | None:
        """Return the log of a turn, None if it does not run in this process."""
        runner = self._runners.get(turn_id)
        return runner.log if runner else None

    def running(self) -> frozenset[UUID]:
        """Return the turns that run in this process."""
        return frozenset(self._runners)

    def owned(self) -> frozenset[UUID]:
        """Return the turns that run in this process, and those that are being admitted."""
        return frozenset(self._runners).union(self._admitting)

    def stop(self, turn_id: UUID, reason: StopReason) -> None:
        """End a turn early if it runs in this process."""
        runner = self._runners.get(turn_id)
        if runner is not None:
            runner.stop(reason)

    def interrupt_all(self) -> None:
        """End all turns as interrupted."""
        for runner in self._runners.values():
            runner.stop("interrupted")

    async def _run(self, job: TurnJob, runner: Runner) -> None:
        self._metrics.running.inc()
        try:
            with self._track(), self._trace(runner.log):
                await runner.run()
        except Exception:
            log.exception("turn_crashed", turn_id=str(job.turn.id))
        finally:
            self._metrics.running.dec()
            self._runners.pop(job.turn.id, None)
            self._turns_of.subtract(job.turn.user_id)
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
        """Interrupt the running turns on exit and wait until they are stored."""
        try:
            yield self
        finally:
            self._closed = True
            self.interrupt_all()
            if self._tasks:
                _, late = await asyncio.wait(set(self._tasks), timeout=STORE_TIMEOUT)
                for task in late:
                    task.cancel()
                if late:
                    log.error("turns_left_to_recovery", count=len(late))
                    await asyncio.wait(late, timeout=CANCEL_TIMEOUT)
