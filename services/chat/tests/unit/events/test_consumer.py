"""Lifecycle events: deleted conversations, erased users and disabled users."""

from dataclasses import dataclass, field
from uuid import UUID

import pytest

from chat.events.consumer import LifecycleEventHandler
from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat_testing.bench import EngineBench
from chat_testing.generator import ScriptedGenerator
from chat_testing.stores import InMemoryTurnErasureStore
from parley import times
from parley.ids import new_id
from parley_events.cloudevents import CloudEvent
from parley_events.models import ConversationDeleted, EventData, UserChanged, UserErased
from parley_events.subscription import Rejected
from parley_testing import eventually


def event_of(name: str, data: bytes, *, version: int = 1) -> CloudEvent:
    return CloudEvent(
        id=new_id(),
        source="/services/test",
        name=name,
        version=version,
        subject="subject",
        time=times.now(),
        partition_key="key",
        sequence=1,
        data=data,
    )


@dataclass
class LifecycleBench:
    """A handler, and one running turn that the store reports."""

    engine: EngineBench = field(
        default_factory=lambda: EngineBench(generator=ScriptedGenerator([AnswerChunk(LogEntry("Hel"))], endless=True))
    )
    store: InMemoryTurnErasureStore = field(default_factory=InMemoryTurnErasureStore)

    def __post_init__(self) -> None:
        self.erased_files: list[UUID] = []
        self.handler = LifecycleEventHandler(self.store, self.engine.logs, self.engine.supervisor, self.erase_files)

    async def erase_files(self, user_id: UUID) -> None:
        assert not self.store.erased, "the store confirms the erasure"
        self.erased_files.append(user_id)

    async def running(self) -> UUID:
        job = await self.engine.job()
        log = self.engine.supervisor.start(job)
        await eventually(lambda: bool(log.entries))
        self.store.running[job.turn.id] = 2
        return job.turn.id

    async def handle(self, name: str, data: EventData) -> None:
        await self.handler.handle(event_of(name, data.model_dump_json().encode()))


async def test_a_deleted_conversation_cancels_its_running_turns() -> None:
    bench = LifecycleBench()
    turn_id, conversation_id, now = await bench.running(), new_id(), times.now()
    data = ConversationDeleted(conversation_id=conversation_id, user_id=new_id(), deleted_at=now, purge_after=now)
    await bench.handle("conversation.deleted", data)
    assert bench.store.deleted == bench.store.blanked == [conversation_id]
    await eventually(lambda: bench.engine.turns.turns[turn_id].status == "cancelled")
    assert bench.engine.logs.published == [turn_id]


async def test_a_disabled_user_has_no_running_turns() -> None:
    bench = LifecycleBench()
    turn_id, user_id = await bench.running(), new_id()
    data = UserChanged(
        user_id=user_id, status="disabled", plan="default", scopes=[], changed=["status"], at=times.now()
    )
    await bench.handle("user.disabled", data)
    assert bench.store.cancelled == [user_id]
    await eventually(lambda: bench.engine.turns.turns[turn_id].status == "cancelled")


async def test_turns_of_an_erased_user_are_ended_until_none_runs() -> None:
    bench = LifecycleBench()
    await bench.running()
    await bench.handle("user.erased", UserErased(user_id=new_id(), erasure_id="e", at=times.now()))
    assert len(bench.store.ended) == 2
    assert bench.store.erased


@pytest.mark.parametrize("available", [True, False])
async def test_an_erased_user_s_turns_are_fenced_and_their_logs_erased(available: bool) -> None:
    bench = LifecycleBench()
    turn_id, user_id = await bench.running(), new_id()
    bench.engine.logs.unavailable = not available
    await bench.handle("user.erased", UserErased(user_id=user_id, erasure_id="e", at=times.now()))
    assert bench.store.erased == [(user_id, "e")]
    await eventually(lambda: not bench.engine.supervisor.running())
    assert bench.engine.turns.turns[turn_id].running
    if available:
        assert bench.engine.logs.positions(turn_id) == [(2, 0)]


async def test_events_of_an_unknown_version_are_skipped() -> None:
    bench = LifecycleBench()
    await bench.handler.handle(event_of("user.erased", b"{}", version=99))
    assert bench.store.erased == []


@pytest.mark.parametrize("data", [b"{", b"{}"])
async def test_malformed_data_is_rejected(data: bytes) -> None:
    with pytest.raises(Rejected):
        await LifecycleBench().handler.handle(event_of("user.erased", data))
