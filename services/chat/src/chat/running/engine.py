"""The turn engine: opens and closes supervisor, lease, log replication, remote logs and recovery in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from chat.admission.turn_job import TurnJob
from chat.catalogue import Catalogue
from chat.files.store import Objects
from chat.generation import AnswerGenerator, EmbeddingGenerators
from chat.metrics import ChatMetrics
from chat.running.lease import LEASE_LENGTH, RunnerLease
from chat.running.log_replication import LogReplicator
from chat.running.recovery import Recovery
from chat.running.remote_logs import RemoteLogs
from chat.running.runner import Runner
from chat.running.runner_store import RunnerStore
from chat.running.supervisor import Supervisor
from chat.running.tracing import turn_span
from chat.running.turn_log_store import LogStore, LogStoreUnavailable
from chat.settings import ChatSettings
from chat.turn_store import TurnStore
from parley.errors import DependencyUnavailable
from parley.ids import new_id
from parley.process.tasks import Loop, background
from parley.web.runtime import Runtime

RESUBSCRIBE_INTERVAL = 1.0
"""Seconds until cancellations are subscribed again after a failure. Meanwhile, lease renewals deliver them."""
FINISH_MARGIN = 3.0
"""Seconds before the end of the drain at which running turns are interrupted."""


@dataclass(frozen=True, slots=True)
class EngineAdapters:
    """Stores and generators of the engine."""

    turns: TurnStore
    runners: RunnerStore
    logs: LogStore
    generator: AnswerGenerator
    embeddings: EmbeddingGenerators
    objects: Objects | None = None
    """The bytes of files; None if files are not offered."""


@dataclass(frozen=True, slots=True)
class TurnEngine:
    """Parts of the running engine that other components use."""

    supervisor: Supervisor
    remote_logs: RemoteLogs


@contextlib.asynccontextmanager
async def open_engine(
    settings: ChatSettings,
    runtime: Runtime,
    adapters: EngineAdapters,
    catalogue: Catalogue,
    metrics: ChatMetrics,
    *,
    lease_length: float = LEASE_LENGTH,
) -> AsyncIterator[TurnEngine]:
    """Run the engine while the context is entered. On exit, turns are interrupted and the lease is released."""
    runner_id, relay = new_id(), StopRelay()
    lease = RunnerLease(adapters.runners, runner_id, relay.cancel, length=lease_length)
    replicator = LogReplicator(adapters.logs, lease, relay.fence, metrics)
    supervisor = relay.supervisor = _supervisor(settings, runtime, adapters, replicator, metrics, runner_id)
    remote_logs = RemoteLogs(adapters.logs, adapters.runners)
    recovery = Recovery(
        store=adapters.turns,
        runners=adapters.runners,
        log_store=adapters.logs,
        supervisor=supervisor,
        lease=lease,
        catalogue=catalogue,
        metrics=metrics,
    )
    interrupt_after = max(0.0, settings.drain_delay + settings.drain_timeout - FINISH_MARGIN)
    loops: dict[str, Loop] = {
        "lease": lease.run,
        "log replication": replicator.run,
        "remote logs": remote_logs.run,
        "recovery": recovery.run,
        "cancellations": lambda: _relay_cancellations(adapters.logs, relay),
        "drain": lambda: _drain(runtime, supervisor, remote_logs, interrupt_after),
    }
    await lease.renew()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_release_lease, adapters.runners, runner_id)
        for name, loop in loops.items():
            await stack.enter_async_context(background(name, loop, service=runtime.service))
        await stack.enter_async_context(supervisor.open())
        yield TurnEngine(supervisor, remote_logs)


class StopRelay:
    """Forwards stop requests to the supervisor, which is created after the components that send them."""

    supervisor: Supervisor

    def cancel(self, turn_id: UUID) -> None:
        """Cancel a turn for its owner."""
        self.supervisor.stop(turn_id, "cancelled")

    def fence(self, turn_id: UUID) -> None:
        """Stop a turn that another runner has taken over."""
        self.supervisor.stop(turn_id, "fenced")


async def _relay_cancellations(logs: LogStore, relay: StopRelay) -> None:
    while True:
        with contextlib.suppress(LogStoreUnavailable):
            async with contextlib.aclosing(logs.cancellations()) as found:
                async for turn_id in found:
                    relay.cancel(turn_id)
        await asyncio.sleep(RESUBSCRIBE_INTERVAL)


async def _drain(runtime: Runtime, supervisor: Supervisor, remote_logs: RemoteLogs, interrupt_after: float) -> None:
    """Dismiss the readers of remote logs at once, and interrupt running turns after ``interrupt_after`` seconds."""
    await runtime.lifecycle.drain_started.wait()
    remote_logs.dismiss()
    await asyncio.sleep(interrupt_after)
    supervisor.interrupt_all()
    await asyncio.Event().wait()


def _supervisor(
    settings: ChatSettings,
    runtime: Runtime,
    adapters: EngineAdapters,
    replicator: LogReplicator,
    metrics: ChatMetrics,
    runner_id: UUID,
) -> Supervisor:
    def make_runner(job: TurnJob) -> Runner:
        return Runner(
            job,
            store=adapters.turns,
            replicator=replicator,
            generator=adapters.generator,
            metrics=metrics,
            answer_limit=settings.answer_limit,
            pending_after=settings.finish_pending_after,
        )

    return Supervisor(
        make_runner,
        runner_id=runner_id,
        metrics=metrics,
        track=runtime.lifecycle.request,
        limit=settings.max_running_turns,
        trace=partial(turn_span, runtime.tracer),
    )


async def _release_lease(runners: RunnerStore, runner_id: UUID) -> None:
    with contextlib.suppress(DependencyUnavailable):
        await runners.release_lease(runner_id)
