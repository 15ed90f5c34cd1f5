"""The projection of events that are late, lost, repeated or concurrent."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from history_testing.app import RunningHistory
from history_testing.turn_events import SampleTurn, user_erased

pytestmark = pytest.mark.integration

_STATE = (
    """SELECT title, title_source, model, message_count, tokens_used, cost, last_number, last_turn_id, created_at,
        updated_at, last_message_at FROM conversations WHERE user_id = $1 ORDER BY id""",
    """SELECT id, conversation_id, turn_id, number, parent_id, role, content, status, created_at, search
        FROM messages WHERE user_id = $1 ORDER BY id""",
    "SELECT * FROM turns WHERE user_id = $1 ORDER BY id",
)


async def _state(history: RunningHistory, user_id: UUID) -> list[list[tuple[Any, ...]]]:
    return [[tuple(row.values()) for row in await history.pool.fetch(query, user_id)] for query in _STATE]


async def _delete_all(history: RunningHistory, user_id: UUID) -> None:
    for table in ("conversations", "turns", "feed", "feed_heads"):
        await history.pool.execute(f"DELETE FROM {table} WHERE user_id = $1", user_id)


async def test_a_turn_whose_start_event_was_lost_is_stored_complete(history: RunningHistory) -> None:
    only = SampleTurn()
    await history.publish(only.ended("incomplete"))
    found = await history.user(only.user_id).get(f"/api/v1/conversations/{only.conversation_id}/messages")
    assert [(m["role"], m["status"]) for m in found["data"]] == [("user", "completed"), ("assistant", "incomplete")]


async def test_a_start_event_after_the_end_changes_nothing(history: RunningHistory) -> None:
    late = SampleTurn()
    await history.publish(late.ended())
    before = await _state(history, late.user_id)
    await history.publish(late.started())
    assert await _state(history, late.user_id) == before


async def test_conversation_created_is_published_once_however_often_events_repeat(history: RunningHistory) -> None:
    first = SampleTurn(question="Only once")
    second = first.next()
    end = first.ended()
    await history.publish(first.started(), end, end, second.started(), second.ended(), end)
    created = [e for e in await history.outbox_events("conversation.created") if e["user_id"] == str(first.user_id)]
    assert created == [
        {
            "conversation_id": str(first.conversation_id),
            "user_id": str(first.user_id),
            "origin": "chat",
            "title": "Only once",
            "metadata": {},
            "created_at": "2026-11-22T10:00:10.123Z",
        }
    ]


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_events_in_any_order_and_repetition_store_the_same(history: RunningHistory, data: st.DataObject) -> None:
    await _store_in_any_order(history, data)


@pytest.mark.chaos
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_events_in_many_orders_store_the_same(history: RunningHistory, data: st.DataObject) -> None:
    await _store_in_any_order(history, data)


async def _store_in_any_order(history: RunningHistory, data: st.DataObject) -> None:
    first = SampleTurn(question="First of all", model="small", cost=None)
    again = first.regenerated(answer="Another answer", model="large")
    edited = SampleTurn(first.user_id, first.conversation_id, number=3, question="Edited", tokens=None, cost=None)
    usage_only = SampleTurn(first.user_id, stored=False)
    turns = [first, again, edited, again.next(number=4, question="你好")]
    in_order = [event for one in turns for event in (one.started(), one.ended())] + [usage_only.ended()]

    await history.publish(*in_order)
    expected = await _state(history, first.user_id)
    await _delete_all(history, first.user_id)
    await history.pool.execute("DELETE FROM inbox WHERE event_id = ANY($1)", [event.id for event in in_order])

    repeated = data.draw(st.lists(st.sampled_from(range(len(in_order))), max_size=6))
    order = data.draw(st.permutations([*range(len(in_order)), *repeated]))
    await history.publish(*(in_order[i] for i in order))
    assert await _state(history, first.user_id) == expected


async def test_concurrent_consumers_store_a_turn_once(history: RunningHistory) -> None:
    first = SampleTurn()
    second = first.next()
    await asyncio.gather(*(history.publish(e) for e in 4 * [first.started(), first.ended(), second.ended()]))
    found = await history.user(first.user_id).get(f"/api/v1/conversations/{first.conversation_id}")
    assert (found["message_count"], found["tokens_used"], found["cost"]) == (4, 114, "0.000024680")


async def test_late_events_of_a_deleted_conversation_store_only_usage(history: RunningHistory) -> None:
    first = SampleTurn()
    second = first.next(question="still running", answer="a late answer")
    ada = history.user(first.user_id)
    path = f"/api/v1/conversations/{first.conversation_id}"
    await history.publish(first.ended(), second.started())
    assert (await ada.request("DELETE", path)).status_code == 204
    await history.publish(second.ended("cancelled"), first.ended())
    await ada.get(path, status=404)
    texts = [
        r["content"] for r in await history.pool.fetch("SELECT content FROM messages WHERE id = $1", second.turn_id)
    ]
    assert texts == [""]
    status = await history.pool.fetchval("SELECT status FROM turns WHERE id = $1", second.turn_id)
    assert status == "cancelled"


async def test_nothing_of_an_erased_user_remains_or_is_stored_again(history: RunningHistory) -> None:
    first = SampleTurn(question="My secret title")
    gone = first.next(answer="a late answer")
    other = SampleTurn()
    ada = history.user(first.user_id)
    await history.publish(first.ended(), gone.started(), other.ended())
    await ada.request("PATCH", f"/api/v1/conversations/{first.conversation_id}", json={"title": "Another secret"})

    event = user_erased(first.user_id)
    await history.publish(event, gone.ended(), first.ended(), event)

    assert await _state(history, first.user_id) == [[], [], []]
    assert not await history.pool.fetch("SELECT 1 FROM feed WHERE user_id = $1", first.user_id)
    outbox = await history.pool.fetch("SELECT name, data::text FROM outbox ORDER BY position")
    assert not [row for row in outbox if "secret" in row["data"]]
    confirmed = [e for e in await history.outbox_events("user.erasure_confirmed") if e["user_id"] == str(first.user_id)]
    assert confirmed
    assert {(e["service"], e["erasure_id"]) for e in confirmed} == {("history", "q5m3b0m8")}
    assert (await history.user(other.user_id).get("/api/v1/conversations"))["data"]


async def test_a_repeated_event_repairs_an_altered_or_lost_message(history: RunningHistory) -> None:
    first = SampleTurn()
    end = first.ended()
    await history.publish(first.started(), end)
    before = await _state(history, first.user_id)
    await history.pool.execute("UPDATE messages SET content = 'altered' WHERE id = $1", first.turn_id)
    await history.publish(end)
    assert await _state(history, first.user_id) == before
    await history.pool.execute("DELETE FROM messages WHERE id = $1", first.turn_id)
    await history.publish(end)
    assert await _state(history, first.user_id) == before
