"""The engine of turns: supervisor, lease, copies, mirrors and recovery, opened and closed in their order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from chat.catalogue import Catalogue
from chat.generation import AnswerGenerator
from chat.metrics import ChatMetrics
from chat.running.lease import RunnerLease
from chat.running.log_replication import LogReplicator
from chat.running.log_store import LogStore, LogStoreUnavailable
from chat.running.recovery import Recovery
from chat.running.remote_logs import RemoteLogs
from chat.running.runner import Runner, TurnJob
from chat.running.runner_store import RunnerStore
from chat.running.supervisor import Supervisor
from chat.running.tracing import turn_span
from chat.running.turn_log import LogCopy
from chat.settings import ChatSettings
from chat.turn_store import TurnStore
from parley.errors import DependencyUnavailable
from parley.ids import new_id
from parley.process.tasks import Loop, background
from parley.web.runtime import Runtime

DEAF = 1.0
"""Seconds before cancels are listened for again after Redis went away; the heartbeat brings them meanwhile."""
FINISH_MARGIN = 3.0
"""Seconds before the end of the drain at which turns that still run are ended."""


@dataclass(frozen=True, slots=True)
class EngineAdapters:
    """What the engine stands on."""

    turns: TurnStore
    runners: RunnerStore
    logs: LogStore
    generator: AnswerGenerator


@dataclass(frozen=True, slots=True)
class TurnEngine:
    """What others need of the running engine."""

    supervisor: Supervisor
    mirrors: RemoteLogs
    metrics: ChatMetrics


@contextlib.asynccontextmanager
async def open_engine(
    settings: ChatSettings,
    runtime: Runtime,
    ports: EngineAdapters,
    catalogue: Catalogue,
    metrics: ChatMetrics,
    *,
    lease_length: float,
) -> AsyncIterator[TurnEngine]:
    """Run the engine while the context is entered; its turns are ended and its lease given up at the end."""
    runner_id, stops = new_id(), StopRelay()
    lease = RunnerLease(ports.runners, runner_id, stops.cancel, length=lease_length)
    copy = LogReplicator(ports.logs, lease, stops.fence, metrics)
    supervisor = stops.supervisor = _supervisor(settings, runtime, ports, copy, metrics, runner_id)
    mirrors = RemoteLogs(ports.logs, ports.runners)
    recovery = Recovery(
        store=ports.turns,
        runners=ports.runners,
        streams=ports.logs,
        supervisor=supervisor,
        lease=lease,
        catalogue=catalogue,
        metrics=metrics,
    )
    patience = max(0.0, settings.drain_delay + settings.drain_timeout - FINISH_MARGIN)
    loops: dict[str, Loop] = {
        "lease": lease.run,
        "log copy": copy.run,
        "mirrors": mirrors.run,
        "recovery": recovery.run,
        "cancels": lambda: _hear_cancels(ports.logs, stops),
        "drain": lambda: _drain(runtime, supervisor, mirrors, patience),
    }
    await lease.beat()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_leave, ports.runners, runner_id)
        for name, loop in loops.items():
            await stack.enter_async_context(background(name, loop, service=runtime.service))
        await stack.enter_async_context(supervisor.open())
        yield TurnEngine(supervisor, mirrors, metrics)


class StopRelay:
    """Passes on who is to stop; the supervisor comes after those who ask."""

    supervisor: Supervisor

    def cancel(self, turn_id: UUID) -> None:
        """End a turn for its owner."""
        self.supervisor.stop(turn_id, "cancelled")

    def fence(self, turn_id: UUID) -> None:
        """End the work on a turn that another runner has taken."""
        self.supervisor.stop(turn_id, "fenced")


async def _hear_cancels(streams: LogStore, stops: StopRelay) -> None:
    while True:
        with contextlib.suppress(LogStoreUnavailable):
            async with contextlib.aclosing(streams.cancellations()) as found:
                async for turn_id in found:
                    stops.cancel(turn_id)
        await asyncio.sleep(DEAF)


async def _drain(runtime: Runtime, supervisor: Supervisor, mirrors: RemoteLogs, timer: float) -> None:
    """Send readers of others' turns away at once, and end the own turns that were waited for long enough."""
    await runtime.lifecycle.drain_started.wait()
    mirrors.dismiss()
    await asyncio.sleep(timer)
    supervisor.interrupt_all()
    await asyncio.Event().wait()


def _supervisor(
    settings: ChatSettings,
    runtime: Runtime,
    ports: EngineAdapters,
    copy: LogCopy,
    metrics: ChatMetrics,
    runner_id: UUID,
) -> Supervisor:
    def make_runner(job: TurnJob) -> Runner:
        return Runner(
            job,
            store=ports.turns,
            copy=copy,
            answers=ports.generator,
            metrics=metrics,
            answer_limit=settings.answer_limit,
            pending_after=settings.finish_pending_after,
        )

    return Supervisor(
        make_runner,
        runner_id=runner_id,
        metrics=metrics,
        busy=runtime.lifecycle.request,
        limit=settings.max_running_turns,
        traced=partial(turn_span, runtime.tracer),
    )


async def _leave(runners: RunnerStore, runner_id: UUID) -> None:
    with contextlib.suppress(DependencyUnavailable):
        await runners.release_lease(runner_id)
