"""The tree of messages, and waiting for a turn."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from parley.ids import new_id

pytestmark = pytest.mark.integration


def _path(one: Any, tail: str = "/messages") -> str:
    return f"/api/v1/conversations/{one.conversation_id}{tail}"


async def _ids(person: Any, path: str, **params: Any) -> list[str]:
    found: list[str] = []
    while True:
        page = await person.get(path, **params)
        found += [m["id"] for m in page["data"]]
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


async def test_the_active_branch_is_the_newest_turns_and_can_be_chosen(world: Any, turn: Callable[..., Any]) -> None:
    first = turn()
    follow = first.next()
    again = first.regenerated(number=3)
    await world.tell(*(one.ended() for one in (first, follow, again)))
    ada = world.person(first.user_id)

    assert await _ids(ada, _path(first)) == [str(first.user_message_id), str(again.turn_id)]
    answers = {m["id"]: m for m in (await ada.get(_path(first), tree="true"))["data"]}
    assert list(answers) == [
        str(i) for i in (first.user_message_id, first.turn_id, follow.user_message_id, follow.turn_id, again.turn_id)
    ]
    assert answers[str(first.turn_id)]["sibling_ids"] == [str(again.turn_id)]
    assert answers[str(again.turn_id)]["sibling_ids"] == [str(first.turn_id)]
    assert answers[str(first.user_message_id)]["turn_id"] == str(first.turn_id)

    chosen = await ada.ask("PATCH", _path(first, ""), json={"active_message_id": str(follow.turn_id)})
    assert chosen.json()["active_message_id"] == str(follow.turn_id)
    branch = [str(i) for i in (first.user_message_id, first.turn_id, follow.user_message_id, follow.turn_id)]
    for limit in (1, 3, 100):
        assert await _ids(ada, _path(first), limit=limit) == branch
        assert await _ids(ada, _path(first), limit=limit, order="desc") == branch[::-1]
        assert await _ids(ada, _path(first), limit=limit, tree="true") == list(answers)
        assert await _ids(ada, _path(first), limit=limit, tree="true", order="desc") == list(answers)[::-1]

    await world.tell(again.next(number=4).ended())
    assert (await ada.get(_path(first, "")))["active_message_id"] not in branch


async def test_an_edited_first_message_is_a_sibling_of_the_first(world: Any, turn: Callable[..., Any]) -> None:
    first = turn()
    edited = turn(first.user_id, first.conversation_id, number=2, question="Edited")
    await world.tell(first.ended(), edited.ended())
    question, _ = (await world.person(first.user_id).get(_path(first)))["data"]
    assert (question["content"], question["parent_id"]) == ("Edited", None)
    assert question["sibling_ids"] == [str(first.user_message_id)]


async def test_only_a_message_of_the_conversation_can_be_made_active(world: Any, turn: Callable[..., Any]) -> None:
    one, other = turn(), turn()
    await world.tell(one.ended(), other.ended())
    ada = world.person(one.user_id)
    for foreign in (other.turn_id, new_id()):
        response = await ada.ask("PATCH", _path(one, ""), json={"active_message_id": str(foreign)})
        assert (response.status_code, response.json()["code"]) == (404, "message_not_found")


async def test_a_page_keeps_its_branch_when_a_turn_is_added_meanwhile(world: Any, turn: Callable[..., Any]) -> None:
    first = turn()
    await world.tell(first.ended(), first.next().ended())
    ada = world.person(first.user_id)
    page = await ada.get(_path(first), limit=3)
    await world.tell(first.regenerated(number=3).ended())
    rest = await ada.get(_path(first), limit=3, cursor=page["next_cursor"])
    assert [m["number"] for m in page["data"] + rest["data"]] == [1, 1, 2, 2]


async def test_a_long_conversation_is_paged_whole(world: Any, turn: Callable[..., Any]) -> None:
    one = turn()
    turns = [one]
    for _ in range(199):
        one = one.next()
        turns.append(one)
    await world.tell(*(each.ended() for each in turns))
    ada = world.person(one.user_id)
    expected = [str(i) for each in turns for i in (each.user_message_id, each.turn_id)]
    assert await _ids(ada, _path(one), limit=100) == expected
    assert await _ids(ada, _path(one), limit=100, order="desc") == expected[::-1]


async def test_waiting_for_a_turn_ends_as_soon_as_it_is_stored(world: Any, turn: Callable[..., Any]) -> None:
    first = turn()
    second = first.next()
    await world.tell(first.ended(), second.started())
    ada = world.person(first.user_id)
    began = time.monotonic()
    waiting = asyncio.create_task(ada.get(_path(first), wait_for=str(second.turn_id)))
    await asyncio.wait({waiting}, timeout=0.3)
    assert not waiting.done()
    await world.tell(second.ended())
    assert (await waiting)["data"][-1]["status"] == "completed"
    assert time.monotonic() - began < 1.5


async def test_waiting_sees_what_another_process_stores(
    turn: Callable[..., Any], open_world: Any, new_database: Callable[[], Awaitable[str]]
) -> None:
    dsn = await new_database()
    async with open_world(dsn) as stores, open_world(dsn, run_consumer=False) as reads:
        one = turn()
        await stores.tell(one.started())
        waiting = asyncio.create_task(reads.person(one.user_id).get(_path(one), wait_for=str(one.turn_id)))
        await asyncio.wait({waiting}, timeout=0.3)
        await stores.tell(one.ended())
        assert (await asyncio.wait_for(waiting, 1.5))["data"][-1]["status"] == "completed"


async def test_waiting_works_for_the_first_turn_of_a_conversation_that_is_not_known_yet(
    world: Any, turn: Callable[..., Any]
) -> None:
    one = turn()
    waiting = asyncio.create_task(world.person(one.user_id).get(_path(one), wait_for=str(one.turn_id)))
    await asyncio.wait({waiting}, timeout=0.2)
    await world.tell(one.ended())
    assert len((await waiting)["data"]) == 2


async def test_how_long_a_stranger_waits_does_not_tell_whether_the_turn_exists(
    world: Any, turn: Callable[..., Any]
) -> None:
    one, unknown = turn(), turn()
    await world.tell(one.ended())
    eve = world.person()

    async def seconds(which: Any) -> float:
        began = time.monotonic()
        await eve.get(_path(which), 404, wait_for=str(which.turn_id))
        return time.monotonic() - began

    assert min(await asyncio.gather(seconds(one), seconds(unknown))) > 1.9


async def test_waiting_for_a_turn_that_does_not_come_answers_after_two_seconds(
    world: Any, turn: Callable[..., Any]
) -> None:
    one, foreign = turn(), turn()
    await world.tell(one.ended(), foreign.ended())
    ada = world.person(one.user_id)
    for unknown in (new_id(), foreign.turn_id):
        began = time.monotonic()
        assert len((await ada.get(_path(one), wait_for=str(unknown)))["data"]) == 2
        assert 1.9 < time.monotonic() - began < 3
    assert (await ada.get(_path(one), 422, wait_for="abc"))["code"] == "validation_failed"
