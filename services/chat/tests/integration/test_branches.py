"""Branches of a conversation: one turn at a time, regenerations and edits."""

import asyncio
from typing import Any

import pytest

from chat_testing.replica import ChatReplica
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley_testing import eventually

pytestmark = pytest.mark.integration

ASYNC = {"Prefer": "respond-async"}


async def test_a_second_turn_while_one_runs_is_refused_with_its_id(replica: ChatReplica) -> None:
    user = replica.user()
    first = await user.chat("Hello [[fake tokens=100 rate=20]]", headers=ASYNC)
    assert first.status_code == 202, first.text
    turn = first.json()
    second = await user.chat("Too soon", conversation_id=turn["conversation_id"])
    assert (second.status_code, second.json()["code"]) == (409, "turn_in_progress")
    assert second.json()["turn_id"] == turn["id"]
    assert second.headers["x-should-retry"] == "false"
    page = await user.request(
        "GET", "/api/v1/chat/turns", params={"conversation_id": turn["conversation_id"], "status": "running"}
    )
    assert [t["id"] for t in page.json()["data"]] == [turn["id"]]
    cancelled = await user.request("POST", f"/api/v1/chat/turns/{turn['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    again = await user.request("POST", f"/api/v1/chat/turns/{turn['id']}/cancel")
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")


async def test_one_turn_runs_in_a_conversation_whichever_branch_it_is_on(replica: ChatReplica) -> None:
    user = replica.user()
    first = (await user.chat("One [[fake tokens=2]]")).json()
    where = {"conversation_id": first["conversation_id"]}
    running = (await user.chat("Two [[fake tokens=200 rate=20]]", headers=ASYNC, **where)).json()
    elsewhere: list[dict[str, Any]] = [
        {"message": "Edited", "parent_id": first["turn_id"]},
        {"message": "From the root", "parent_id": first["conversation_id"]},
        {"message": None, "regenerate": first["turn_id"]},
    ]
    for members in elsewhere:
        refused = await user.chat(**members, **where)
        assert (refused.status_code, refused.json()["code"]) == (409, "turn_in_progress"), members
        assert refused.json()["turn_id"] == running["id"]
    await user.request("POST", f"/api/v1/chat/turns/{running['id']}/cancel")


async def test_only_one_of_many_concurrent_turns_of_a_conversation_runs(replica: ChatReplica) -> None:
    user = replica.user()
    first = (await user.chat("One [[fake tokens=2]]")).json()
    where = {"conversation_id": first["conversation_id"]}
    branches: list[dict[str, Any]] = [{}, {"parent_id": first["turn_id"]}, {"parent_id": first["conversation_id"]}]
    message = "Two [[fake tokens=1000 rate=20]]"
    tasks = [asyncio.create_task(user.chat(message, **branches[i % 3], **where)) for i in range(30)]
    await eventually(lambda: sum(task.done() for task in tasks) == 29, within=30)
    refused = [task.result() for task in tasks if task.done()]
    assert {response.status_code for response in refused} == {409}
    await user.request("POST", f"/api/v1/chat/turns/{refused[0].json()['turn_id']}/cancel")
    assert {response.status_code for response in await asyncio.gather(*tasks)} == {200, 409}
    rows = await replica.outbox(first["conversation_id"])
    assert [row["sequence"] for row in rows] == [1, 2, 3, 4]


async def test_a_regeneration_creates_a_sibling_with_the_same_user_message(replica: ChatReplica) -> None:
    user = replica.user()
    first = (await user.chat("One [[fake tokens=2]]")).json()
    response = await user.chat(None, regenerate=first["turn_id"], conversation_id=first["conversation_id"])
    body = response.json()
    assert response.status_code == 200, body
    assert body["user_message_id"] == first["user_message_id"]
    ended = (await replica.outbox(first["conversation_id"]))[-1]["data"]
    assert (ended["regenerate"], ended["parent_id"]) == (first["turn_id"], None)


async def test_an_edit_follows_the_parent_in_its_request(replica: ChatReplica, provider: FakeProvider) -> None:
    user, mark = replica.user(), str(new_id())
    first = (await user.chat("One [[fake text=first]]")).json()
    where = {"conversation_id": first["conversation_id"]}
    await user.chat("Two [[fake text=second]]", **where)
    await user.chat(f"Two again {mark}", parent_id=first["turn_id"], **where)
    texts = [m["content"] for m in (await provider.ended_call(mark))["request"]["messages"]]
    assert texts[:2] == ["One [[fake text=first]]", "first"]
    assert len(texts) == 3
    mark = str(new_id())
    await user.chat(f"One again {mark}", parent_id=first["conversation_id"], **where)
    assert len((await provider.ended_call(mark))["request"]["messages"]) == 1
