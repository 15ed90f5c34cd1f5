"""What events become, in whatever order they come."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.integration

_STATE = (
    """SELECT title, title_source, model, message_count, tokens_used, cost, last_number, last_turn_id, created_at,
        updated_at, last_message_at FROM conversations WHERE user_id = $1 ORDER BY id""",
    """SELECT id, conversation_id, turn_id, number, parent_id, role, content, status, created_at, search
        FROM messages WHERE user_id = $1 ORDER BY id""",
    "SELECT * FROM turns WHERE user_id = $1 ORDER BY id",
)


async def _state(world: Any, user_id: UUID) -> list[list[tuple[Any, ...]]]:
    return [[tuple(row.values()) for row in await world.pool.fetch(query, user_id)] for query in _STATE]


async def _forget(world: Any, user_id: UUID) -> None:
    for table in ("conversations", "turns", "feed", "feed_heads"):
        await world.pool.execute(f"DELETE FROM {table} WHERE user_id = $1", user_id)


async def test_a_turn_is_listed_while_it_runs_and_when_it_has_ended(world: Any, turn: Callable[..., Any]) -> None:
    first = turn(question="Greeting Ada")
    ada = world.person(first.user_id)
    path = f"/api/v1/conversations/{first.conversation_id}"

    await world.tell(first.started())
    running = await ada.get(path)
    assert running["running_turn_id"] == str(first.turn_id)
    assert (running["title"], running["message_count"], running["cost"]) == ("Greeting Ada", 2, None)
    question, answer = (await ada.get(f"{path}/messages"))["data"]
    assert (answer["status"], answer["content"], answer["turn_id"]) == ("running", "", str(first.turn_id))
    assert (question["content"], question["status"], question["parent_id"]) == ("Greeting Ada", "completed", None)

    await world.tell(first.ended())
    ended = await ada.get(path)
    assert ended == {
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
        "role": "assistant",
        "content": "I am a model.",
        "tool_calls": None,
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


async def test_an_end_whose_start_was_lost_is_stored_whole(world: Any, turn: Callable[..., Any]) -> None:
    only = turn()
    await world.tell(only.ended("incomplete"))
    found = await world.person(only.user_id).get(f"/api/v1/conversations/{only.conversation_id}/messages")
    assert [(m["role"], m["status"]) for m in found["data"]] == [("user", "completed"), ("assistant", "incomplete")]


async def test_a_start_that_comes_after_the_end_changes_nothing(world: Any, turn: Callable[..., Any]) -> None:
    late = turn()
    await world.tell(late.ended())
    before = await _state(world, late.user_id)
    await world.tell(late.started())
    assert await _state(world, late.user_id) == before


async def test_one_conversation_created_event_is_written_however_often_its_turns_come(
    world: Any, turn: Callable[..., Any]
) -> None:
    first = turn(question="Only once")
    second = first.next()
    end = first.ended()
    await world.tell(first.started(), end, end, second.started(), second.ended(), end)
    created = [e for e in await world.own_events("conversation.created") if e["user_id"] == str(first.user_id)]
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
async def test_any_order_and_repetition_of_events_stores_the_same(
    world: Any, turn: Callable[..., Any], data: st.DataObject
) -> None:
    first = turn(question="First of all", model="small", cost=None)
    again = first.regenerated(answer="Another answer", model="large")
    edited = turn(first.user_id, first.conversation_id, number=3, question="Edited", tokens=None, cost=None)
    usage_only = turn(first.user_id, stored=False)
    turns = [first, again, edited, again.next(number=4, question="你好")]
    in_order = [event for one in turns for event in (one.started(), one.ended())] + [usage_only.ended()]

    await world.tell(*in_order)
    expected = await _state(world, first.user_id)
    await _forget(world, first.user_id)
    await world.pool.execute("DELETE FROM inbox WHERE event_id = ANY($1)", [event.id for event in in_order])

    repeated = data.draw(st.lists(st.sampled_from(range(len(in_order))), max_size=6))
    order = data.draw(st.permutations([*range(len(in_order)), *repeated]))
    await world.tell(*(in_order[i] for i in order))
    assert await _state(world, first.user_id) == expected


async def test_two_consumers_that_store_the_same_turn_at_once_store_it_once(
    world: Any, turn: Callable[..., Any]
) -> None:
    first = turn()
    second = first.next()
    await asyncio.gather(*(world.tell(e) for e in 4 * [first.started(), first.ended(), second.ended()]))
    found = await world.person(first.user_id).get(f"/api/v1/conversations/{first.conversation_id}")
    assert (found["message_count"], found["tokens_used"], found["cost"]) == (4, 114, "0.000024680")


async def test_a_turn_without_a_conversation_is_a_usage_record(world: Any, turn: Callable[..., Any]) -> None:
    alone = turn(stored=False)
    await world.tell(alone.ended())
    assert (await world.person(alone.user_id).get("/api/v1/conversations"))["data"] == []
    row = await world.pool.fetchrow("SELECT * FROM turns WHERE id = $1", alone.turn_id)
    assert (row["conversation_id"], row["total_tokens"], row["status"]) == (None, 57, "completed")


async def test_a_turn_in_somebody_elses_conversation_is_a_dead_letter(world: Any, turn: Callable[..., Any]) -> None:
    mine = turn()
    theirs = turn(conversation_id=mine.conversation_id, number=2)
    await world.tell(mine.ended(), theirs.ended())
    assert world.bus.dead_letters[-1][1].json()["turn_id"] == str(theirs.turn_id)
    assert not await world.pool.fetch("SELECT 1 FROM turns WHERE id = $1", theirs.turn_id)
    found = await world.person(mine.user_id).get(f"/api/v1/conversations/{mine.conversation_id}")
    assert found["message_count"] == 2


async def test_what_postgres_cannot_store_is_replaced_and_what_is_malformed_is_a_dead_letter(
    world: Any, turn: Callable[..., Any]
) -> None:
    nul = turn(answer="a\x00b")
    await world.tell(nul.ended())
    found = await world.person(nul.user_id).get(f"/api/v1/conversations/{nul.conversation_id}/messages")
    assert found["data"][1]["content"] == "a\ufffdb"
    half = turn(answer="HALF")
    event = half.ended()
    await world.tell(replace(event, data=event.data.replace(b"HALF", b"a\\ud800b")))
    found = await world.person(half.user_id).get(f"/api/v1/conversations/{half.conversation_id}/messages")
    assert found["data"][1]["content"] == "a?b"
    broken = turn().ended(number="many")
    for event in (broken, replace(turn().ended(), data=b"{"), replace(turn().ended(), data=b"\xff")):
        await world.tell(event)
        assert world.bus.dead_letters[-1][1].id == event.id


async def test_an_event_of_an_unknown_version_or_type_is_skipped(world: Any, turn: Callable[..., Any]) -> None:
    new = turn()
    await world.tell(replace(new.ended(), version=2), replace(new.ended(), name="conversation.turn.reconsidered"))
    await world.person(new.user_id).get(f"/api/v1/conversations/{new.conversation_id}", status=404)


async def test_nothing_of_a_deleted_conversation_comes_back_but_its_usage(world: Any, turn: Callable[..., Any]) -> None:
    first = turn()
    second = first.next(question="still running", answer="a late answer")
    ada = world.person(first.user_id)
    path = f"/api/v1/conversations/{first.conversation_id}"
    await world.tell(first.ended(), second.started())
    assert (await ada.ask("DELETE", path)).status_code == 204
    await world.tell(second.ended("cancelled"), first.ended())
    await ada.get(path, status=404)
    texts = [r["content"] for r in await world.pool.fetch("SELECT content FROM messages WHERE id = $1", second.turn_id)]
    assert texts == [""]
    status = await world.pool.fetchval("SELECT status FROM turns WHERE id = $1", second.turn_id)
    assert status == "cancelled"


async def test_an_erased_person_leaves_nothing_and_stays_erased(
    world: Any, turn: Callable[..., Any], erased: Callable[[UUID], Any]
) -> None:
    first = turn(question="My secret title")
    gone = first.next(answer="a late answer")
    other = turn()
    ada = world.person(first.user_id)
    await world.tell(first.ended(), gone.started(), other.ended())
    await ada.ask("PATCH", f"/api/v1/conversations/{first.conversation_id}", json={"title": "Another secret"})

    event = erased(first.user_id)
    await world.tell(event, gone.ended(), first.ended(), event)

    assert await _state(world, first.user_id) == [[], [], []]
    assert not await world.pool.fetch("SELECT 1 FROM feed WHERE user_id = $1", first.user_id)
    outbox = await world.pool.fetch("SELECT name, data::text FROM outbox ORDER BY position")
    assert not [row for row in outbox if "secret" in row["data"]]
    confirmed = [e for e in await world.own_events("user.erasure_confirmed") if e["user_id"] == str(first.user_id)]
    assert confirmed
    assert {(e["service"], e["erasure_id"]) for e in confirmed} == {("history", "q5m3b0m8")}
    assert (await world.person(other.user_id).get("/api/v1/conversations"))["data"]


async def test_an_altered_or_lost_record_is_repaired_when_its_event_comes_again(
    world: Any, turn: Callable[..., Any]
) -> None:
    first = turn()
    end = first.ended()
    await world.tell(first.started(), end)
    before = await _state(world, first.user_id)
    await world.pool.execute("UPDATE messages SET content = 'altered' WHERE id = $1", first.turn_id)
    await world.tell(end)
    assert await _state(world, first.user_id) == before
    await world.pool.execute("DELETE FROM messages WHERE id = $1", first.turn_id)
    await world.tell(end)
    assert await _state(world, first.user_id) == before


@pytest.mark.parametrize("kind", ["words", "han", "four bytes", "expanding", "one word", "numbers"])
async def test_an_answer_of_any_size_and_script_is_stored_and_found(
    world: Any, turn: Callable[..., Any], kind: str
) -> None:
    size = 400_000
    text = {
        "words": " ".join(f"w{i:x}" for i in range(size // 5)),
        "han": "".join(chr(0x4E00 + (i * 7919) % 20000) for i in range(size)),
        "four bytes": " ".join(chr(0x10400 + i % 40) + chr(0x10400 + i // 40 % 40) * 2 for i in range(size // 4)),
        "expanding": "\ufdfa " * (size // 2),
        "one word": "x" * size,
        "numbers": " ".join(str(i * 7919) for i in range(size // 8)),
    }[kind]
    long = turn(question="needle", answer=text)
    await world.tell(long.ended())
    person = world.person(long.user_id)
    found = await person.get(f"/api/v1/conversations/{long.conversation_id}/messages")
    assert found["data"][1]["content"] == text
    assert (await person.get("/api/v1/search", q="needle"))["data"]
    if kind == "words":
        assert (await person.get("/api/v1/search", q="w1f"))["data"]
