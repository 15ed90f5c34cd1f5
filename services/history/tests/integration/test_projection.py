"""The projection of events, in any order of arrival."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from history_testing.app import RunningHistory
from history_testing.turn_events import SampleTurn, user_erased
from parley.ids import new_id

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


async def test_a_turn_is_listed_while_it_runs(history: RunningHistory) -> None:
    first = SampleTurn(question="Greeting Ada")
    ada = history.user(first.user_id)
    path = f"/api/v1/conversations/{first.conversation_id}"

    await history.publish(first.started())
    running = await ada.get(path)
    assert running["running_turn_id"] == str(first.turn_id)
    assert (running["title"], running["message_count"], running["cost"]) == ("Greeting Ada", 2, None)
    question, answer = (await ada.get(f"{path}/messages"))["data"]
    assert (answer["status"], answer["content"], answer["turn_id"]) == ("running", "", str(first.turn_id))
    assert (question["content"], question["status"], question["parent_id"]) == ("Greeting Ada", "completed", None)


@pytest.mark.parametrize("late", [False, True])
async def test_tool_results_are_messages_between_the_call_and_the_answer(history: RunningHistory, late: bool) -> None:
    first = SampleTurn()
    second = first.next(user_message_id=first.user_message_id, question=first.question)
    again = second.regenerated(number=3)
    results = [
        {"id": new_id(), "tool_call_id": f"c{n}", "content": f"Result {n}", "created_at": second.started_at}
        for n in (1, 2)
    ]
    members: dict[str, Any] = {"tool_results": results, "continues": True}
    events = [first.ended(), second.started(**members), second.ended(**members), again.ended(**members)]
    await history.publish(*(reversed(events) if late else events))
    ada, path = history.user(first.user_id), f"/api/v1/conversations/{first.conversation_id}"
    await ada.request("PATCH", path, json={"active_message_id": str(second.turn_id)})
    shown = (await ada.get(f"{path}/messages"))["data"]
    assert [(m["id"], m["role"], m["tool_call_id"]) for m in shown] == [
        (str(first.user_message_id), "user", None),
        (str(first.turn_id), "assistant", None),
        (str(results[0]["id"]), "tool", "c1"),
        (str(results[1]["id"]), "tool", "c2"),
        (str(second.turn_id), "assistant", None),
    ]
    assert shown[-1]["sibling_ids"] == [str(again.turn_id)]
    assert (await ada.get(path))["message_count"] == 6
    assert {m["number"] for m in shown if m["role"] == "tool"} == {2}


async def test_results_without_their_call_follow_the_message_they_came_with(history: RunningHistory) -> None:
    turn = SampleTurn()
    result = {"id": new_id(), "tool_call_id": "c1", "content": "Rain", "created_at": turn.started_at}
    await history.publish(turn.ended(tool_results=[result]))
    path = f"/api/v1/conversations/{turn.conversation_id}"
    shown = (await history.user(turn.user_id).get(f"{path}/messages"))["data"]
    assert [m["role"] for m in shown] == ["user", "tool", "assistant"]


async def test_an_ended_turn_is_listed_with_its_answer_and_usage(history: RunningHistory) -> None:
    first = SampleTurn(question="Greeting Ada")
    ada = history.user(first.user_id)
    path = f"/api/v1/conversations/{first.conversation_id}"

    await history.publish(first.started(), first.ended())
    assert await ada.get(path) == {
        "id": str(first.conversation_id),
        "title": "Greeting Ada",
        "title_source": "auto",
        "archived": False,
        "model": "default",
        "message_count": 2,
        "tokens_used": 57,
        "cost_estimate": 0.00001234,
        "cost": "0.000012340",
        "running_turn_id": None,
        "active_message_id": str(first.turn_id),
        "metadata": {},
        "version": 2,
        "created_at": "2026-11-22T10:00:10.123Z",
        "updated_at": "2026-11-22T10:00:12.123Z",
        "last_message_at": "2026-11-22T10:00:12.123Z",
    }
    assert (await ada.get(f"{path}/messages"))["data"][1] == {
        "id": str(first.turn_id),
        "conversation_id": str(first.conversation_id),
        "turn_id": str(first.turn_id),
        "number": 1,
        "parent_id": str(first.user_message_id),
        "sibling_ids": [],
        "sibling_count": 0,
        "role": "assistant",
        "content": "I am a model.",
        "tool_calls": None,
        "tool_call_id": None,
        "status": "completed",
        "finish_reason": "stop",
        "model": "default",
        "usage": {
            "prompt_tokens": 41,
            "completion_tokens": 16,
            "total_tokens": 57,
            "cached_tokens": 0,
            "reasoning_tokens": 0,
            "estimated": False,
        },
        "cost": "0.000012340",
        "created_at": "2026-11-22T10:00:12.123Z",
    }


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


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_events_in_any_order_and_repetition_store_the_same(history: RunningHistory, data: st.DataObject) -> None:
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


async def test_a_turn_without_a_conversation_counts_as_usage_only(history: RunningHistory) -> None:
    alone = SampleTurn(stored=False)
    await history.publish(alone.ended())
    assert (await history.user(alone.user_id).get("/api/v1/conversations"))["data"] == []
    row = await history.pool.fetchrow("SELECT * FROM turns WHERE id = $1", alone.turn_id)
    assert (row["conversation_id"], row["total_tokens"], row["status"]) == (None, 57, "completed")


async def test_a_turn_in_the_conversation_of_another_user_is_a_dead_letter(history: RunningHistory) -> None:
    mine = SampleTurn()
    theirs = SampleTurn(conversation_id=mine.conversation_id, number=2)
    await history.publish(mine.ended(), theirs.ended())
    assert history.bus.dead_letters[-1][1].json()["turn_id"] == str(theirs.turn_id)
    assert not await history.pool.fetch("SELECT 1 FROM turns WHERE id = $1", theirs.turn_id)
    found = await history.user(mine.user_id).get(f"/api/v1/conversations/{mine.conversation_id}")
    assert found["message_count"] == 2


async def test_text_that_postgres_cannot_store_is_repaired_and_malformed_events_are_dead_letters(
    history: RunningHistory,
) -> None:
    nul = SampleTurn(answer="a\x00b")
    await history.publish(nul.ended())
    found = await history.user(nul.user_id).get(f"/api/v1/conversations/{nul.conversation_id}/messages")
    assert found["data"][1]["content"] == "a\ufffdb"
    half = SampleTurn(answer="HALF")
    event = half.ended()
    await history.publish(replace(event, data=event.data.replace(b"HALF", b"a\\ud800b")))
    found = await history.user(half.user_id).get(f"/api/v1/conversations/{half.conversation_id}/messages")
    assert found["data"][1]["content"] == "a\ufffdb"
    broken = SampleTurn().ended(number="many")
    for event in (broken, replace(SampleTurn().ended(), data=b"{"), replace(SampleTurn().ended(), data=b"\xff")):
        await history.publish(event)
        assert history.bus.dead_letters[-1][1].id == event.id


async def test_an_event_of_an_unknown_version_or_type_is_skipped(history: RunningHistory) -> None:
    new = SampleTurn()
    await history.publish(replace(new.ended(), version=2), replace(new.ended(), name="conversation.turn.reconsidered"))
    await history.user(new.user_id).get(f"/api/v1/conversations/{new.conversation_id}", status=404)


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
