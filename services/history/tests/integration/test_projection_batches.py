"""Batches of events: whatever arrives together, the same rows are stored as one by one."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from history.change_notifier.notifier import ChangeNotifier
from history.database import Database
from history.erasure.postgres import PostgresUserDataEraser
from history.projection import halves
from history.projection.consumer import TurnEventHandler, outcome_counter
from history.projection.postgres import PostgresProjectionStore
from history_testing.app import RunningHistory
from history_testing.turn_events import SampleTurn, as_published, user_erased
from parley.ids import new_id
from parley.messaging.outages import SERVICE_FAILURE_POLICY
from parley.process.worker_thread import worker_thread
from parley_events.cloudevents import CloudEvent
from parley_events.consuming.batch_dispatcher import BatchDispatcher
from parley_events.subscription import Batching, Subscription
from parley_testing import eventually
from parley_testing.fakes.amqp import FakeChannel, FakeConnection, FakeMessage

pytestmark = pytest.mark.integration

_STATE = {
    "conversations": "SELECT * FROM conversations WHERE user_id = ANY($1) ORDER BY id",
    "messages": "SELECT * FROM messages WHERE user_id = ANY($1) ORDER BY id",
    "search": """
        SELECT s.message_id, s.role, s.created_at,
            replace(s.terms::text, '''' || to_hex(s.segment_id) || ':', '''') AS terms
        FROM message_search AS s JOIN messages AS m ON m.id = s.message_id WHERE m.user_id = ANY($1) ORDER BY 1""",
    "turns": "SELECT * FROM turns WHERE user_id = ANY($1) ORDER BY id",
    "feed": """
        SELECT user_id, conversation_id, source, name, subject, partition_key, sequence, traceparent, data
        FROM feed WHERE user_id = ANY($1) ORDER BY conversation_id, position""",
    "feed_heads": "SELECT user_id, position FROM feed_heads WHERE user_id = ANY($1) ORDER BY user_id",
    "outbox": """
        SELECT name, partition_key, sequence, data FROM outbox
        WHERE data->>'user_id' = ANY(SELECT unnest($1::uuid[])::text) ORDER BY partition_key, sequence""",
}
_VARYING = {"active_since"}


@dataclass
class Scene:
    """Events of a few people, and what makes some of them different."""

    turns: list[SampleTurn]
    events: list[CloudEvent]
    settled: CloudEvent
    """It is stored before the others."""
    people: list[Any]


def scene() -> Scene:
    """Return turns of two people: branches, tool results, another person's conversation, and events that must fail."""
    first = SampleTurn(question="First of all", model="small", cost=None)
    again = first.regenerated(answer="Another answer", model="large")
    called = first.next(number=3, user_message_id=first.user_message_id, question=first.question)
    usage_only, alone = SampleTurn(first.user_id, stored=False), SampleTurn(first.user_id, question="你好", tokens=None)
    other = SampleTurn()
    others_next = other.next(question="Next", cost="1.5")
    results = [
        {"id": new_id(), "tool_call_id": f"c{n}", "content": f"Result {n}", "created_at": called.started_at}
        for n in (1, 2)
    ]
    members: dict[str, Any] = {"tool_results": results, "continues": True}
    turns = [first, again, called, usage_only, alone, other, others_next]
    events = [event for turn in (first, again, alone, other, others_next) for event in (turn.started(), turn.ended())]
    events += [called.started(**members), called.ended(**members), usage_only.ended(), alone.ended("cancelled")]
    settled = SampleTurn()
    events = [as_published(event) if n % 3 else event for n, event in enumerate(events)]
    foreign = SampleTurn(other.user_id, settled.conversation_id, number=9)
    events += [foreign.started(), replace(other.ended(), data=b"{"), other.next().ended(number=2**40)]
    return Scene([*turns, settled], events, settled.ended(), [first.user_id, other.user_id])


class BuslessConsumer:
    """A handler on the database of the app, without a bus."""

    def __init__(self, history: RunningHistory, store: PostgresProjectionStore, database: Database) -> None:
        self.history = history
        self.handler = TurnEventHandler(
            store,
            PostgresUserDataEraser(database),
            ChangeNotifier(),
            wake_relay=lambda: None,
            outcomes=outcome_counter(CollectorRegistry()),
        )

    async def one_by_one(self, events: Sequence[CloudEvent]) -> set[Any]:
        """Handle events in order; return the ids of those that failed."""
        failed = set()
        for event in events:
            try:
                await self.handler.handle(event)
            except Exception:  # noqa: BLE001 - whatever the handler raises
                failed.add(event.id)
        return failed

    async def in_batches(self, events: Sequence[CloudEvent], size: int) -> set[Any]:
        """Deliver events at once; return the ids of the dead letters."""
        batching = Batching(self.handler.handle_batch, max_events=size, interval=0, prepare=self.handler.prepare)
        subscription = Subscription("q", ("#",), self.handler.handle, max_attempts=1, batching=batching)
        dispatcher = BatchDispatcher(subscription, batching, SERVICE_FAILURE_POLICY)
        channel = FakeChannel(FakeConnection())
        messages = [FakeMessage(event, channel) for event in events]
        for message in messages:
            await dispatcher.dispatch(message.as_incoming())
        await eventually(lambda: all(message.outcome != "pending" for message in messages), within=60)
        return {event.id for event, message in zip(events, messages, strict=True) if message.outcome == "dead-lettered"}

    async def state(self, people: Sequence[Any]) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of people."""
        return {
            table: [
                {name: value for name, value in row.items() if name not in _VARYING}
                for row in await self.history.pool.fetch(query, people)
            ]
            for table, query in _STATE.items()
        }

    async def forget(self, found: Scene) -> None:
        """Delete everything of a scene."""
        keys = [str(turn.conversation_id) for turn in found.turns]
        for table in ("conversations", "turns", "feed", "feed_heads"):
            await self.history.pool.execute(f"DELETE FROM {table} WHERE user_id = ANY($1)", found.people)
        for table in ("outbox", "outbox_keys"):
            await self.history.pool.execute(f"DELETE FROM {table} WHERE partition_key = ANY($1)", keys)
        await self.history.pool.execute("DELETE FROM inbox WHERE event_id = ANY($1)", [e.id for e in found.events])


@pytest.fixture(scope="session")
async def consumer(history: RunningHistory) -> AsyncIterator[BuslessConsumer]:
    with worker_thread("test-index") as worker:
        database = Database(history.pool)
        yield BuslessConsumer(history, PostgresProjectionStore(database, worker), database)


async def compare(consumer: BuslessConsumer, data: st.DataObject) -> None:
    """Store events one by one and in batches, and compare the rows."""
    found = scene()
    order = data.draw(st.permutations(range(len(found.events))))
    repeated = data.draw(st.lists(st.sampled_from(order), max_size=6))
    events = [found.events[i] for i in (*order, *repeated)]
    failed = await consumer.one_by_one([found.settled, *events])
    expected = await consumer.state(found.people)
    await consumer.forget(found)
    with patch.object(halves, "MIN_SPLIT", data.draw(st.sampled_from([1, len(events) + 1]))):
        assert await consumer.in_batches(events, data.draw(st.integers(1, len(events)))) == failed
    assert await consumer.state(found.people) == expected


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_batches_store_the_same_rows_as_single_events(consumer: BuslessConsumer, data: st.DataObject) -> None:
    await compare(consumer, data)


@pytest.mark.chaos
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_many_batches_store_the_same_rows_as_single_events(
    consumer: BuslessConsumer, data: st.DataObject
) -> None:
    await compare(consumer, data)


async def test_a_batch_does_not_wait_for_another_transaction_of_one_of_its_users(consumer: BuslessConsumer) -> None:
    held, other = SampleTurn(), SampleTurn()
    events = [held.started(), other.ended(), held.ended()]
    async with consumer.history.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT lock_person($1)", held.user_id)
        assert await consumer.handler.handle_batch(events) == [events[0], events[2]]
    assert await consumer.handler.handle_batch(events) == []
    feed = "SELECT name FROM feed WHERE user_id = $1 ORDER BY position"
    for turn, names in ((held, ["started", "completed"]), (other, ["completed"])):
        rows = await consumer.history.pool.fetch(feed, turn.user_id)
        assert [row["name"] for row in rows] == [
            "conversation.created",
            *(f"conversation.turn.{name}" for name in names),
        ]


async def test_a_batch_stores_nothing_of_erased_users_and_only_usage_of_deleted_conversations(
    consumer: BuslessConsumer,
) -> None:
    gone, first, kept = SampleTurn(), SampleTurn(), SampleTurn()
    await consumer.handler.handle_batch([gone.started(), first.ended(), kept.started()])
    await consumer.handler.handle(user_erased(gone.user_id))
    user = consumer.history.user(first.user_id)
    assert (await user.request("DELETE", f"/api/v1/conversations/{first.conversation_id}")).status_code == 204
    late = first.next()
    assert await consumer.handler.handle_batch([gone.ended(), kept.ended(), late.started(), late.ended()]) == []
    state = await consumer.state([gone.user_id])
    assert not any(state[table] for table in ("conversations", "messages", "turns", "feed"))
    dropped = "SELECT EXISTS (SELECT FROM inbox WHERE dropped_turn_id = $1)"
    assert await consumer.history.pool.fetchval(dropped, gone.turn_id)
    state = await consumer.state([first.user_id])
    assert {row["id"]: row["status"] for row in state["turns"]}[late.turn_id] == "completed"
    assert late.turn_id not in {row["id"] for row in state["messages"]}
    assert len((await consumer.state([kept.user_id]))["messages"]) == 2


@pytest.mark.parametrize("left", ["", "What is left"])
async def test_a_batch_with_a_turn_and_a_deletion_in_it_keeps_no_text_in_the_title(
    consumer: BuslessConsumer, left: str
) -> None:
    turn = SampleTurn(question="Xylophone")
    assert await consumer.handler.handle_batch([turn.ended(), replace(turn, question=left).redacted()]) == []
    assert "Xylophone" not in str(await consumer.state([turn.user_id]))


async def test_replicas_that_store_the_same_events_in_other_orders_store_them_once(consumer: BuslessConsumer) -> None:
    turns = [SampleTurn() for _ in range(12)]
    events = [event for turn in turns for event in (turn.started(), turn.ended())]

    async def replica(batches: Sequence[Sequence[CloudEvent]]) -> None:
        for batch in batches:
            for event in await consumer.handler.handle_batch(batch):
                await consumer.handler.handle(event)

    await asyncio.gather(
        replica([events[:16], events[16:]]), replica([events[::-1]]), replica([events[8:], events[:8]])
    )
    for turn in turns:
        (conversation,) = (await consumer.state([turn.user_id]))["conversations"]
        assert (conversation["message_count"], conversation["tokens_used"]) == (2, 57)


async def test_arrays_of_a_batch_are_joined_in_a_time_proportional_to_their_length(consumer: BuslessConsumer) -> None:
    functions = """
        SELECT p.proname, pg_get_functiondef(p.oid) AS sql FROM pg_proc AS p
        WHERE p.pronamespace = current_schema()::regnamespace AND p.proname = ANY($1)"""
    names = {
        *("project_turns", "project_round", "store_round_messages", "store_round_turns", "projected_messages"),
        *("update_conversations", "feed_events", "index_messages"),
    }
    rows = await consumer.history.pool.fetch(functions, list(names))
    found = {row["proname"]: row["sql"] for row in rows}
    assert found.keys() == names
    # The planner expects a few rows of an array. Only a full join has no plan that compares each row with each.
    nested = re.compile(r"(?<!FULL )JOIN\s+(?:unnest|store_round_\w+|segment|head|message)\b")
    assert {name: joins for name, sql in found.items() if (joins := nested.findall(sql))} == {}
