"""Main path of a user: register, log in, chat, read the conversation."""

import httpx2
import pytest

from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley_testing import eventually
from parley_testing.http.client import UserClient

pytestmark = pytest.mark.e2e


async def stored(user: UserClient, conversation: str, count: int) -> list[dict[str, object]]:
    async def enough() -> list[dict[str, object]]:
        response = await user.request("GET", f"/api/v1/conversations/{conversation}/messages")
        assert response.status_code == 200
        messages: list[dict[str, object]] = response.json()["data"]
        return messages if len([m for m in messages if m["status"] == "completed"]) == count else []

    found: list[dict[str, object]] = await eventually(enough, within=20)
    return found


async def test_a_streamed_answer_arrives_token_by_token_and_ends_once(user: UserClient) -> None:
    events = [event async for event in user.stream("hello [[fake tokens=12]]")]
    first, last = events[0].data, events[-1].data
    assert (first["delta"], first["status"]) == ("", "running")
    assert "".join(e.data["delta"] for e in events).split() == [f"t{i}" for i in range(1, 13)]
    assert [e.data["finished"] for e in events].count(True) == 1
    assert (last["finished"], last["status"], last["finish_reason"]) == (True, "completed", "stop")
    assert [e.id for e in events] == [str(i) for i in range(1, len(events) + 1)]


async def test_the_second_turn_reaches_the_provider_with_the_first_ones_context(
    user: UserClient, provider: FakeProvider
) -> None:
    mark = str(new_id())
    first = await user.chat(f"{mark} first [[fake tokens=3]]")
    await user.chat(f"{mark} second [[fake tokens=3]]", conversation_id=first["conversation_id"])
    call = (await provider.journal(contains=f"{mark} second"))[-1]
    roles = [(m["role"], m["content"]) for m in call["request"]["messages"]]
    assert [role for role, _ in roles[-3:]] == ["user", "assistant", "user"]
    assert mark in roles[-3][1]
    assert roles[-2][1] == first["message"]


async def test_history_shows_both_turns_in_order(user: UserClient) -> None:
    first = await user.chat("one [[fake tokens=2]]")
    second = await user.chat("two [[fake tokens=2]]", conversation_id=first["conversation_id"])
    messages = await stored(user, first["conversation_id"], 4)
    assert [m["role"] for m in messages] == ["user", "assistant"] * 2
    assert [m["id"] for m in messages if m["role"] == "assistant"] == [first["message_id"], second["message_id"]]
    listed = (await user.request("GET", "/api/v1/conversations")).json()["data"]
    assert [c["id"] for c in listed] == [first["conversation_id"]]
    assert listed[0]["message_count"] == 4


async def test_a_conversation_is_invisible_to_another_user(user: UserClient, other_user: UserClient) -> None:
    answer = await user.chat("mine [[fake tokens=1]]")
    await stored(user, answer["conversation_id"], 2)
    paths = [f"/api/v1/conversations/{answer['conversation_id']}", f"/api/v1/chat/turns/{answer['turn_id']}"]
    responses = [await other_user.request("GET", path) for path in paths]
    assert [r.status_code for r in responses] == [404, 404]
    taken = await other_user.request(
        "POST", "/api/v1/chat", json={"message": "hi", "conversation_id": answer["conversation_id"]}
    )
    assert (taken.status_code, taken.json()["code"]) == (404, "conversation_not_found")


async def test_a_conversation_is_put_read_continued_and_deleted(user: UserClient) -> None:
    conversation = str(new_id())
    path = f"/api/v1/conversations/{conversation}"
    unknown = await user.request("POST", "/api/v1/chat", json={"message": "hi", "conversation_id": conversation})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "conversation_not_found")
    created = await user.request("PUT", path)
    assert (created.status_code, created.json()["id"]) == (201, conversation)
    assert (await user.request("GET", path)).json() == created.json()
    await user.chat("hi [[fake tokens=1]]", conversation_id=conversation)
    await stored(user, conversation, 2)
    assert (await user.request("DELETE", path)).status_code == 204
    assert (await user.request("PUT", path)).status_code == 404


async def test_a_client_that_leaves_does_not_stop_the_turn(user: UserClient, http: httpx2.AsyncClient) -> None:
    request = {"message": "long [[fake tokens=30 rate=60]]"}
    async with http.stream("POST", "/api/v1/chat/stream", json=request, headers=user.headers) as response:
        turn = response.headers["x-turn-id"]
        async for _ in response.aiter_bytes():
            break

    async def ended() -> bool:
        found = (await user.request("GET", f"/api/v1/chat/turns/{turn}")).json()
        assert found["user_message"]["content"] == request["message"]
        return bool(found["status"] == "completed" and found["message"].split()[-1] == "t30")

    await eventually(ended, within=20)


async def test_a_stream_is_resumed_at_the_next_token(user: UserClient, http: httpx2.AsyncClient) -> None:
    request = {"message": "long [[fake tokens=40 rate=80]]"}
    seen: list[dict[str, object]] = []
    async with http.stream("POST", "/api/v1/chat/stream", json=request, headers=user.headers) as response:
        turn = response.headers["x-turn-id"]
    path = f"/api/v1/chat/turns/{turn}/stream"
    last = ""
    async for event in user.events("GET", path):
        seen.append(event.data)
        last = event.id or ""
        if len(seen) == 5:
            break
    rest = [e async for e in user.events("GET", path, headers={"Last-Event-ID": last})]
    text = "".join(str(d["delta"]) for d in [*seen, *(e.data for e in rest)])
    assert text.split() == [f"t{i}" for i in range(1, 41)]
    assert rest[-1].data["finished"] is True


async def test_a_chosen_branch_is_shown_and_continued(user: UserClient, provider: FakeProvider) -> None:
    mark = str(new_id())
    first = await user.chat(f"{mark} one [[fake tokens=1]]")
    where = {"conversation_id": first["conversation_id"]}
    second = await user.chat(f"{mark} two [[fake tokens=2]]", **where)
    path = f"/api/v1/conversations/{first['conversation_id']}"
    await user.request("GET", f"{path}/messages", params={"wait_for": first["turn_id"]})
    chosen = await user.request("PATCH", path, json={"active_message_id": first["user_message_id"]})
    assert chosen.json()["active_message_id"] == first["message_id"]
    third = await user.chat(f"{mark} three [[fake tokens=3]]", **where)
    sent = (await provider.journal(contains=f"{mark} three"))[-1]["request"]["messages"]
    assert not any(f"{mark} two" in message["content"] for message in sent)
    shown = await user.request("GET", f"{path}/messages", params={"wait_for": third["turn_id"]})
    ids = [message["id"] for message in shown.json()["data"]]
    assert ids == [first["user_message_id"], first["turn_id"], third["user_message_id"], third["turn_id"]]
    assert second["turn_id"] not in ids


async def test_tool_results_are_messages_of_the_conversation(user: UserClient, provider: FakeProvider) -> None:
    mark, path = str(new_id()), "/v1/chat/completions"
    question = {"role": "user", "content": "Weather? [[fake tool_calls=1]]"}
    first = await user.request("POST", path, json={"model": "default", "messages": [question], "store": True})
    call = first.json()["choices"][0]["message"]
    conversation = first.headers["x-conversation-id"]
    result = {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "Rain"}
    messages = [{"role": "user", "content": "Weather? [[fake tokens=2]]"}, call, result]
    request = {"model": "default", "messages": messages, "metadata": {"conversation_id": conversation}}
    assert (await user.request("POST", path, json=request)).status_code == 200
    shown = await stored(user, conversation, 4)
    assert [message["role"] for message in shown] == ["user", "assistant", "tool", "assistant"]
    assert (shown[2]["content"], shown[2]["tool_call_id"]) == ("Rain", result["tool_call_id"])
    await user.chat(f"{mark} [[fake tokens=1]]", conversation_id=conversation)
    sent = (await provider.journal(contains=mark))[-1]["request"]["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "assistant", "user"]


async def test_an_api_key_with_the_default_scope_continues_an_imported_conversation(
    user: UserClient, http: httpx2.AsyncClient, provider: FakeProvider
) -> None:
    mark = str(new_id())
    first = await user.chat(f"{mark} remember [[fake tokens=3]]")
    await stored(user, first["conversation_id"], 2)
    exported = await user.request("GET", f"/api/v1/conversations/{first['conversation_id']}/export?format=json")
    imported = await user.request("POST", "/api/v1/conversations/import", json=exported.json())
    copy = imported.json()["imported"][0]["conversation_id"]
    made = await user.request("POST", "/api/v1/auth/api-keys", json={"name": "default"})
    assert made.json()["scopes"] == ["chat:write"]
    body = {"message": f"{mark} again [[fake tokens=1]]", "conversation_id": copy}

    async def sent_with_history() -> list[dict[str, str]]:
        # chat answers without the imported messages when history is late, as it may be on a busy machine.
        answer = await http.post("/api/v1/chat", json=body, headers={"X-API-Key": made.json()["key"]})
        assert (answer.status_code, answer.json()["context"]) == (200, "complete")
        messages: list[dict[str, str]] = (await provider.journal(contains=mark))[-1]["request"]["messages"]
        return messages

    sent: list[dict[str, str]] = await eventually(sent_with_history)
    assert [message["role"] for message in (*sent[:2], sent[-1])] == ["user", "assistant", "user"]
    assert f"{mark} remember" in sent[0]["content"]
