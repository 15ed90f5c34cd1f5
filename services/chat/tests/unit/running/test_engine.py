"""The turn engine: start, cancellations from other replicas, drain and shutdown."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat.running.engine import FINISH_MARGIN, EngineAdapters, TurnEngine, open_engine
from chat.running.turn_log import TurnLog
from chat.settings import ChatSettings
from chat_testing.bench import EngineBench
from chat_testing.generator import ScriptedGenerator
from chat_testing.turns import make_turn
from parley.observability.metrics import Metrics
from parley.web.runtime import Runtime
from parley_testing import eventually


@dataclass
class OpenEngine:
    """An engine on in-memory stores whose answers never end by themselves."""

    bench: EngineBench = field(
        default_factory=lambda: EngineBench(generator=ScriptedGenerator([AnswerChunk(LogEntry("Hel"))], endless=True))
    )

    def __post_init__(self) -> None:
        self.settings = ChatSettings.model_construct(drain_delay=0.0, drain_timeout=FINISH_MARGIN)
        self.runtime = Runtime("chat", "test", self.settings, Metrics("chat", "test", "unknown"))
        bench = self.bench
        self.adapters = EngineAdapters(bench.turns, bench.turns, bench.logs, bench.generator, bench.embeddings)

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[TurnEngine]:
        async with open_engine(
            self.settings, self.runtime, self.adapters, self.bench.catalogue, self.bench.metrics
        ) as engine:
            yield engine

    async def started(self, engine: TurnEngine) -> TurnLog:
        log = engine.supervisor.start(await self.bench.job())
        await eventually(lambda: log.shown == 1)
        return log


@pytest.fixture
def opened() -> OpenEngine:
    return OpenEngine()


@pytest.fixture
async def engine(opened: OpenEngine) -> AsyncIterator[TurnEngine]:
    async with opened.run() as engine:
        yield engine


async def test_a_started_turn_is_replicated_and_shown(opened: OpenEngine, engine: TurnEngine) -> None:
    log = await opened.started(engine)
    assert opened.bench.logs.positions(log.turn.id) == [(1, 1), (1, 2)]


async def test_a_cancellation_on_another_replica_ends_the_turn(opened: OpenEngine, engine: TurnEngine) -> None:
    log = await opened.started(engine)
    await opened.bench.logs.publish_cancellation(log.turn.id)
    await eventually(lambda: log.state == "ended")
    assert log.turn.status == "cancelled"


async def test_a_drain_interrupts_turns_and_dismisses_remote_logs(opened: OpenEngine, engine: TurnEngine) -> None:
    log = await opened.started(engine)
    async with engine.remote_logs.open(make_turn()) as (remote, _):
        opened.runtime.lifecycle.drain_started.set()
        await eventually(lambda: remote.state == "dismissed")
        await eventually(lambda: log.state == "ended")
    assert (log.turn.status, log.turn.finish_reason) == ("incomplete", "interrupted")


async def test_closing_stores_the_running_turns_and_releases_the_lease(opened: OpenEngine) -> None:
    async with opened.run() as engine:
        log = await opened.started(engine)
        assert list(opened.bench.turns.leases) == [engine.supervisor.runner_id]
    assert (log.state, log.turn.status) == ("ended", "incomplete")
    assert opened.bench.turns.leases == {}
