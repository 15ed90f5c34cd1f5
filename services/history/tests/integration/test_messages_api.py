"""Message routes: branches, the tree, and waiting for a turn."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID

import pytest

from history import wiring
from history.messages.service import MessageService
from history.messages.store import MAX_SIBLING_COUNT, MAX_SIBLING_IDS
from history_testing.app import ApiUser, NewDatabase, OpenHistory, RunningHistory
from history_testing.turn_events import SampleTurn
from parley.ids import new_id
from parley.times import now

pytestmark = pytest.mark.integration

STORED_WITHIN = 60.0
"""Seconds within which a wait must end, also on a busy machine."""
Replicas: TypeAlias = tuple[RunningHistory, RunningHistory]


def _path(one: SampleTurn, tail: str = "/messages") -> str:
    return f"/api/v1/conversations/{one.conversation_id}{tail}"


async def _ids(user: ApiUser, path: str, **params: Any) -> list[str]:
    found: list[str] = []
    while True:
        page = await user.get(path, **params)
        found += [m["id"] for m in page["data"]]
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


async def test_the_active_branch_is_the_newest_unless_the_user_selects_another(
    history: RunningHistory,
) -> None:
    first = SampleTurn()
    follow = first.next()
    again = first.regenerated(number=3)
    await history.publish(*(one.ended() for one in (first, follow, again)))
    ada = history.user(first.user_id)

    assert await _ids(ada, _path(first)) == [str(first.user_message_id), str(again.turn_id)]
    answers = {m["id"]: m for m in (await ada.get(_path(first), tree="true"))["data"]}
    assert list(answers) == [
        str(i) for i in (first.user_message_id, first.turn_id, follow.user_message_id, follow.turn_id, again.turn_id)
    ]
    assert answers[str(first.turn_id)]["sibling_ids"] == [str(again.turn_id)]
    assert answers[str(again.turn_id)]["sibling_ids"] == [str(first.turn_id)]
    assert answers[str(first.user_message_id)]["turn_id"] == str(first.turn_id)

    chosen = await ada.request("PATCH", _path(first, ""), json={"active_message_id": str(follow.turn_id)})
    assert chosen.json()["active_message_id"] == str(follow.turn_id)
    branch = [str(i) for i in (first.user_message_id, first.turn_id, follow.user_message_id, follow.turn_id)]
    for limit in (1, 3, 100):
        assert await _ids(ada, _path(first), limit=limit) == branch
        assert await _ids(ada, _path(first), limit=limit, order="desc") == branch[::-1]
        assert await _ids(ada, _path(first), limit=limit, tree="true") == list(answers)
        assert await _ids(ada, _path(first), limit=limit, tree="true", order="desc") == list(answers)[::-1]

    await history.publish(again.next(number=4, start=now()).ended())
    assert (await ada.get(_path(first, "")))["active_message_id"] not in branch


async def test_choosing_a_user_message_shows_its_newest_answer(history: RunningHistory) -> None:
    first = SampleTurn()
    follow, again = first.next(), first.regenerated(number=3)
    await history.publish(*(one.ended() for one in (first, follow, again)))
    ada = history.user(first.user_id)
    for question, answer in ((follow.user_message_id, follow.turn_id), (first.user_message_id, again.turn_id)):
        chosen = await ada.request("PATCH", _path(first, ""), json={"active_message_id": str(question)})
        assert chosen.json()["active_message_id"] == str(answer)
        assert (await _ids(ada, _path(first)))[-1] == str(answer)


async def test_choosing_a_user_message_shows_no_deleted_answer_while_there_is_another(history: RunningHistory) -> None:
    first = SampleTurn()
    again = first.regenerated(number=2)
    gone = replace(again, answer="").redacted(gone=[again.turn_id])
    await history.publish(first.ended(), again.ended(), gone)
    ada, choice = history.user(first.user_id), {"active_message_id": str(first.user_message_id)}
    chosen = await ada.request("PATCH", _path(first, ""), json=choice)
    assert chosen.json()["active_message_id"] == str(first.turn_id)
    assert (await _ids(ada, _path(first)))[-1] == str(first.turn_id)


async def test_a_branch_stays_chosen_when_an_earlier_turn_is_stored_late(history: RunningHistory) -> None:
    first = SampleTurn()
    late = first.next()
    await history.publish(first.ended())
    ada = history.user(first.user_id)
    await ada.request("PATCH", _path(first, ""), json={"active_message_id": str(first.turn_id)})
    await history.publish(late.ended())
    assert (await ada.get(_path(first, "")))["active_message_id"] == str(first.turn_id)
    path = f"/internal/conversations/{first.conversation_id}/owner"
    found = (await history.internal_client().request("GET", path)).json()
    assert (found["latest_answer_id"], found["chosen_answer_id"]) == (str(late.turn_id), str(first.turn_id))
    await history.publish(first.next(number=3, start=now()).ended())
    assert (await history.internal_client().request("GET", path)).json()["chosen_answer_id"] is None


async def test_an_edited_first_message_is_a_sibling_of_the_first(history: RunningHistory) -> None:
    first = SampleTurn()
    edited = SampleTurn(first.user_id, first.conversation_id, number=2, question="Edited")
    await history.publish(first.ended(), edited.ended())
    question, _ = (await history.user(first.user_id).get(_path(first)))["data"]
    assert (question["content"], question["parent_id"]) == ("Edited", None)
    assert question["sibling_ids"] == [str(first.user_message_id)]


async def test_only_a_message_of_the_conversation_can_be_made_active(history: RunningHistory) -> None:
    one, other = SampleTurn(), SampleTurn()
    await history.publish(one.ended(), other.ended())
    ada = history.user(one.user_id)
    for foreign in (other.turn_id, new_id()):
        response = await ada.request("PATCH", _path(one, ""), json={"active_message_id": str(foreign)})
        assert (response.status_code, response.json()["code"]) == (404, "message_not_found")


async def test_a_page_keeps_its_branch_when_a_turn_is_added_meanwhile(history: RunningHistory) -> None:
    first = SampleTurn()
    await history.publish(first.ended(), first.next().ended())
    ada = history.user(first.user_id)
    page = await ada.get(_path(first), limit=3)
    await history.publish(first.regenerated(number=3).ended())
    rest = await ada.get(_path(first), limit=3, cursor=page["next_cursor"])
    assert [m["number"] for m in page["data"] + rest["data"]] == [1, 1, 2, 2]


async def test_a_long_conversation_is_paged_whole(history: RunningHistory) -> None:
    one = SampleTurn()
    turns = [one]
    for _ in range(199):
        one = one.next()
        turns.append(one)
    await history.publish(*(each.ended() for each in turns))
    ada = history.user(one.user_id)
    expected = [str(i) for each in turns for i in (each.user_message_id, each.turn_id)]
    assert await _ids(ada, _path(one), limit=100) == expected
    assert await _ids(ada, _path(one), limit=100, order="desc") == expected[::-1]


@pytest.fixture(scope="module")
async def patient(open_history_on: OpenHistory, new_database: NewDatabase) -> AsyncIterator[Replicas]:
    """Two processes, of which the first stores turns. A wait for a turn ends when it is stored and not before."""
    dsn = await new_database()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "MessageService", partial(MessageService, turn_wait_timeout=600.0))
        async with open_history_on(dsn) as stores, open_history_on(dsn, run_consumer=False) as reads:
            yield stores, reads


async def test_waiting_for_a_turn_ends_when_it_is_stored(patient: Replicas) -> None:
    stores, _ = patient
    first = SampleTurn()
    second = first.next()
    await stores.publish(first.ended(), second.started())
    ada = stores.user(first.user_id)
    waiting = asyncio.create_task(ada.get(_path(first), wait_for=str(second.turn_id)))
    await asyncio.wait({waiting}, timeout=0.3)
    assert not waiting.done()
    await stores.publish(second.ended())
    assert (await asyncio.wait_for(waiting, STORED_WITHIN))["data"][-1]["status"] == "completed"


async def test_waiting_sees_a_turn_that_another_process_stores(patient: Replicas) -> None:
    stores, reads = patient
    one = SampleTurn()
    await stores.publish(one.started())
    waiting = asyncio.create_task(reads.user(one.user_id).get(_path(one), wait_for=str(one.turn_id)))
    await asyncio.wait({waiting}, timeout=0.3)
    await stores.publish(one.ended())
    assert (await asyncio.wait_for(waiting, STORED_WITHIN))["data"][-1]["status"] == "completed"


async def test_waiting_works_for_the_first_turn_of_a_conversation(patient: Replicas) -> None:
    stores, _ = patient
    one = SampleTurn()
    waiting = asyncio.create_task(stores.user(one.user_id).get(_path(one), wait_for=str(one.turn_id)))
    await asyncio.wait({waiting}, timeout=0.2)
    await stores.publish(one.ended())
    assert len((await asyncio.wait_for(waiting, STORED_WITHIN))["data"]) == 2


async def test_another_user_waits_the_full_time_whether_or_not_the_turn_exists(history: RunningHistory) -> None:
    one, unknown = SampleTurn(), SampleTurn()
    await history.publish(one.ended())
    eve = history.user()

    async def seconds(which: SampleTurn) -> float:
        began = time.monotonic()
        await eve.get(_path(which), 404, wait_for=str(which.turn_id))
        return time.monotonic() - began

    assert min(await asyncio.gather(seconds(one), seconds(unknown))) > 1.9


async def test_waiting_for_a_turn_that_is_not_stored_ends_after_two_seconds(history: RunningHistory) -> None:
    one, foreign = SampleTurn(), SampleTurn()
    await history.publish(one.ended(), foreign.ended())
    ada = history.user(one.user_id)

    async def wait(unknown: UUID) -> None:
        began = time.monotonic()
        assert len((await ada.get(_path(one), wait_for=str(unknown)))["data"]) == 2
        assert 1.9 < time.monotonic() - began < STORED_WITHIN

    await asyncio.gather(wait(new_id()), wait(foreign.turn_id))
    assert (await ada.get(_path(one), 422, wait_for="abc"))["code"] == "validation_failed"


async def test_a_page_of_the_tree_does_not_grow_with_the_siblings(history: RunningHistory) -> None:
    ada, sizes = history.user(), (200, 4_000)
    for size in sizes:
        messages = [{"id": str(i), "parent_id": None, "role": "user", "content": "hi"} for i in range(size)]
        file = {"format": "parley.conversation/1", "conversation": {}, "messages": messages}
        answer = await ada.request("POST", "/api/v1/conversations/import", json=file)
        assert answer.status_code == 201, answer.text
    found = {one["message_count"]: one["id"] for one in (await ada.get("/api/v1/conversations"))["data"]}
    paths = [f"/api/v1/conversations/{found[size]}/messages" for size in sizes]
    pages = [(await ada.get(path, tree="true", limit=100))["data"] for path in paths]
    assert [[m["sibling_count"] for m in page] for page in pages] == [[199] * 100, [MAX_SIBLING_COUNT] * 100]
    assert {len(message["sibling_ids"]) for page in pages for message in page} == {MAX_SIBLING_IDS}
