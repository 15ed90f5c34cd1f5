"""The projection of events onto conversations, messages and usage."""

from dataclasses import replace
from typing import Any

import pytest

from history_testing.app import RunningHistory
from history_testing.turn_events import SampleTurn
from parley.ids import new_id

pytestmark = pytest.mark.integration


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
    new, dead = SampleTurn(), len(history.bus.dead_letters)
    await history.publish(replace(new.ended(), version=2), replace(new.ended(), name="conversation.turn.reconsidered"))
    await history.user(new.user_id).get(f"/api/v1/conversations/{new.conversation_id}", status=404)
    assert len(history.bus.dead_letters) == dead
