"""Conversations that only history knows."""

from typing import Any
from uuid import uuid1, uuid4

import pytest

from chat_testing.replica import ChatReplica
from chat_testing.stub_history import StubHistory
from fake_provider.process import FakeProvider
from parley.ids import new_id

pytestmark = pytest.mark.integration


async def test_a_conversation_is_created_under_the_clients_id(replica: ChatReplica) -> None:
    user, chosen = replica.user(), str(uuid4())
    unknown = await user.chat("Hi", conversation_id=chosen)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "conversation_not_found")
    body = (await user.chat("Hi [[fake tokens=1]]", conversation_id=chosen, create=True)).json()
    assert body["conversation_id"] == chosen
    assert (await user.chat("More [[fake tokens=1]]", conversation_id=chosen)).status_code == 200


async def test_a_conversation_is_put_and_continued(replica: ChatReplica) -> None:
    user, path = replica.user(), f"/api/v1/conversations/{uuid4()}"
    created = await user.request("PUT", path)
    assert (created.status_code, created.headers["location"]) == (201, path)
    again = await user.request("PUT", path, json={})
    assert (again.status_code, again.json()) == (200, created.json())
    writer = replica.user(user.id, "chat:write")
    unread = await writer.request("PUT", path)
    assert (unread.status_code, unread.json()) == (200, {"id": created.json()["id"]}), "a title takes `history:read`"
    refused = await user.request("PUT", path, json={"title": "Mine"})
    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")
    assert (await replica.user().request("PUT", path)).status_code == 404
    chosen = created.json()["id"]
    assert (await user.chat("Hi [[fake tokens=1]]", conversation_id=chosen)).json()["conversation_id"] == chosen


@pytest.mark.parametrize(("name", "status"), [("abc", 404), (str(uuid1()), 422)], ids=["a word", "version 1"])
async def test_only_a_uuid_of_version_4_or_7_is_put(replica: ChatReplica, name: str, status: int) -> None:
    assert (await replica.user().request("PUT", f"/api/v1/conversations/{name}")).status_code == status


async def test_a_conversation_of_history_is_adopted_with_its_context(
    replica: ChatReplica, history: StubHistory, provider: FakeProvider
) -> None:
    user, conversation, mark = replica.user(), str(new_id()), str(new_id())
    question, answer = str(new_id()), str(new_id())
    history.owners[conversation] = {
        "user_id": str(user.id),
        "deleted": False,
        "last_number": 7,
        "latest_answer_id": answer,
    }
    common = {"tool_calls": None, "created_at": "2026-11-22T10:00:00.123Z"}
    history.messages[conversation] = [
        {"id": answer, "parent_id": question, "role": "assistant", "content": "Blue.", **common},
        {"id": question, "parent_id": None, "role": "user", "content": "Which colour?", **common},
    ]
    response = await user.chat(f"Why? {mark} [[fake tokens=1]]", conversation_id=conversation)
    assert response.status_code == 200, response.text
    assert response.json()["context"] == "complete"
    texts = [m["content"] for m in (await provider.ended_call(mark))["request"]["messages"]]
    assert texts[:2] == ["Which colour?", "Blue."]
    ended = (await replica.outbox(conversation))[-1]["data"]
    assert (ended["number"], ended["parent_id"]) == (8, answer)
    again = await user.chat(None, regenerate=answer, conversation_id=conversation)
    assert again.status_code == 200, again.text
    assert again.json()["user_message_id"] == question


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_foreign_or_deleted_conversation_is_not_found(
    replica: ChatReplica, history: StubHistory, deleted: bool
) -> None:
    user, conversation = replica.user(), str(new_id())
    owner = user.id if deleted else new_id()
    history.owners[conversation] = {
        "user_id": str(owner),
        "deleted": deleted,
        "last_number": 1,
        "latest_answer_id": None,
    }
    response = await user.chat("Hi", conversation_id=conversation)
    assert (response.status_code, response.json()["code"]) == (404, "conversation_not_found")
    assert await replica.pool.fetchval("SELECT count(*) FROM conversations WHERE user_id = $1", user.id) == 0


async def test_without_history_only_conversations_of_chat_continue(replica: ChatReplica, history: StubHistory) -> None:
    user = replica.user()
    known = (await user.chat("Hi [[fake tokens=1]]")).json()["conversation_id"]
    history.down = True
    try:
        response = await user.chat("Hi", conversation_id=str(new_id()))
        assert (response.status_code, response.json()["code"]) == (503, "dependency_unavailable")
        assert (await user.chat("More [[fake tokens=1]]", conversation_id=known)).status_code == 200
        new = await user.chat("New [[fake tokens=1]]")
        assert new.status_code == 200
    finally:
        history.down = False


async def test_context_that_history_does_not_return_is_marked_as_partial(
    replica: ChatReplica, history: StubHistory
) -> None:
    user = replica.user()
    first = (await user.chat("Hi [[fake tokens=1]]")).json()
    await replica.pool.execute("UPDATE turns SET conversation_id = NULL WHERE id = $1", first["turn_id"])
    history.down = True
    try:
        response = await user.chat("More [[fake tokens=1]]", conversation_id=first["conversation_id"])
    finally:
        history.down = False
    assert (response.status_code, response.json()["context"]) == (200, "partial")


async def test_a_hundred_turns_of_context_are_read_and_trimmed(replica: ChatReplica, provider: FakeProvider) -> None:
    user, mark = replica.user(), str(new_id())
    where: dict[str, Any] = {}
    for number in range(120):
        text = f"Question {number} {'word ' * 40}[[fake tokens=2]]"
        response = await user.chat(text, **where)
        assert response.status_code == 200, response.text
        where = {"conversation_id": response.json()["conversation_id"]}
    last = await user.chat(f"{mark} [[fake tokens=2]]", system_prompt="Stay", **where)
    body = last.json()
    assert (body["context"], last.status_code) == ("trimmed", 200)
    messages = (await provider.ended_call(mark))["request"]["messages"]
    assert messages[0] == {"role": "system", "content": "Stay"}
    assert messages[-3]["content"].startswith("Question 119 ")
    assert body["context_omitted_turns"] + (len(messages) - 2) // 2 >= 100
