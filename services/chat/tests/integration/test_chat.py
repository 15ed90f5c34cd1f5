"""Turns over Parley's HTTP routes."""

import asyncio
from typing import Any

import pytest

from chat_testing.replica import ChatReplica
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley_testing import eventually

pytestmark = pytest.mark.integration


async def test_an_answer_carries_its_turn_usage_and_text(replica: ChatReplica) -> None:
    user = replica.user()
    response = await user.chat("Hello [[fake tokens=3]]", metadata={"a": "b"})
    body = response.json()
    assert response.status_code == 200, body
    assert body["message"] == "t1 t2 t3"
    assert (body["status"], body["finish_reason"], body["model"]) == ("completed", "stop", "default")
    assert body["message_id"] == body["turn_id"] == response.headers["x-turn-id"]
    assert response.headers["x-conversation-id"] == body["conversation_id"]
    assert response.headers["location"] == f"/api/v1/chat/turns/{body['turn_id']}"
    assert body["usage"]["completion_tokens"] == 3
    assert body["tokens_used"] == body["usage"]["total_tokens"]
    assert body["metadata"] == {"a": "b"}


async def test_started_and_completed_are_in_the_outbox_with_gap_free_sequences(replica: ChatReplica) -> None:
    user = replica.user()
    body = (await user.chat("Hi [[fake tokens=2]]")).json()
    again = await user.chat("And [[fake tokens=2]]", conversation_id=body["conversation_id"])
    assert again.status_code == 200, again.text
    found = await replica.outbox(body["conversation_id"])
    assert [row["sequence"] for row in found] == [1, 2, 3, 4]
    assert [row["name"].rpartition(".")[2] for row in found] == ["started", "completed"] * 2
    assert [row["data"]["number"] for row in found] == [1, 1, 2, 2]
    assert found[2]["data"]["parent_id"] == body["turn_id"]
    ended = found[1]["data"]
    assert ended["message"]["content"] == "t1 t2"
    assert ended["user_message"]["content"] == "Hi [[fake tokens=2]]"
    assert ended["stored"] is True


async def test_a_stream_has_its_first_event_at_once_and_exactly_one_last(replica: ChatReplica) -> None:
    user = replica.user()
    body = {"message": "Hello [[fake tokens=4 latency_ms=300]]"}
    async with user.stream("/api/v1/chat/stream", json=body) as (response, found):
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        turn_id = response.headers["x-turn-id"]
        seen = [await anext(found)]
        assert (await user.turn(turn_id))["status"] == "running"
        seen += [event async for event in found]
    assert [event.id for event in seen] == list(range(1, len(seen) + 1))
    assert all(event.name is None for event in seen)
    assert seen[0].data["status"] == "running"
    assert "".join(event.data["delta"] for event in seen) == "t1 t2 t3 t4"
    assert [event.data["finished"] for event in seen].count(True) == 1
    assert seen[-1].data["finished"] is True
    assert seen[-1].data["usage"]["completion_tokens"] == 4
    turn = await user.turn(turn_id)
    assert (turn["status"], turn["last_event_id"]) == ("completed", str(seen[-1].id))


async def test_the_next_turn_sees_the_earlier_ones(replica: ChatReplica, provider: FakeProvider) -> None:
    user, mark = replica.user(), str(new_id())
    first = (await user.chat("My name is Ada [[fake text=Noted]]", system_prompt="Be brief")).json()
    await user.chat(f"What is it? {mark}", conversation_id=first["conversation_id"])
    call = await provider.ended_call(mark)
    roles = [(m["role"], m["content"]) for m in call["request"]["messages"]]
    assert roles[0] == ("system", "Be brief")
    assert roles[1] == ("user", "My name is Ada [[fake text=Noted]]")
    assert roles[2] == ("assistant", "Noted")
    assert call["request"]["stream_options"] == {"include_usage": True}


async def test_an_empty_system_prompt_removes_that_of_the_conversation(
    replica: ChatReplica, provider: FakeProvider
) -> None:
    user, mark = replica.user(), str(new_id())
    first = (await user.chat("Hello", system_prompt="Be brief")).json()
    where = {"conversation_id": first["conversation_id"]}
    prompts = []
    options: list[dict[str, Any]] = [{}, {"system_prompt": ""}, {"system_prompt": None}, {"system_prompt": "Rhyme"}]
    for number, given in enumerate(options):
        turn = (await user.chat(f"{mark} {number}", **where, **given)).json()
        sent = (await provider.ended_call(f"{mark} {number}"))["request"]["messages"][0]
        prompts.append(sent["content"] if sent["role"] == "system" else None)
        assert (await user.turn(turn["turn_id"]))["system_prompt"] == prompts[-1]
    assert prompts == ["Be brief", None, None, "Rhyme"]


async def test_a_disconnect_does_not_stop_the_turn(replica: ChatReplica) -> None:
    user = replica.user()
    body = {"message": "Hello [[fake tokens=20 rate=40]]"}
    async with user.stream("/api/v1/chat/stream", json=body) as (response, found):
        turn_id = response.headers["x-turn-id"]
        await anext(found)
    turn = await eventually(lambda: user.ended_turn(turn_id), within=20)
    assert turn["status"] == "completed"
    assert turn["usage"]["completion_tokens"] == 20


@pytest.mark.parametrize("path", ["/api/v1/chat", "/api/v1/chat/stream"])
async def test_a_request_cancelled_before_the_first_token_leaves_a_turn_that_completes(
    replica: ChatReplica, provider: FakeProvider, path: str
) -> None:
    user, mark = replica.user(), str(new_id())
    body = {"message": f"{mark} [[fake tokens=5 latency_ms=600]]"}
    request = asyncio.create_task(user.request("POST", path, json=body))
    await eventually(lambda: provider.journal(contains=mark))
    request.cancel()
    await asyncio.wait({request})
    assert request.cancelled()
    found = await user.request("GET", "/api/v1/chat/turns")
    (turn,) = found.json()["data"]
    assert (turn["status"], turn["last_event_id"]) == ("running", "1")
    turn = await eventually(lambda: user.ended_turn(turn["id"]), within=20)
    assert (turn["status"], turn["usage"]["completion_tokens"]) == ("completed", 5)
    assert len(await provider.journal(contains=mark)) == 1


async def test_a_message_longer_than_the_context_window_is_refused_and_stores_nothing(replica: ChatReplica) -> None:
    user = replica.user()
    # A token for each character: four times what the window takes.
    response = await user.chat("\u8bed" * 32_000)
    body = response.json()
    assert (response.status_code, body["code"]) == (400, "context_length_exceeded")
    assert body["error"]["type"] == "invalid_request_error"
    assert (await user.request("GET", "/api/v1/chat/turns")).json()["data"] == []
    openai = {"model": "default", "messages": [{"role": "user", "content": "\u8bed" * 32_000}]}
    refused = await user.request("POST", "/v1/chat/completions", json=openai)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_readers_that_join_at_any_time_receive_the_same_events(replica: ChatReplica) -> None:
    user = replica.user()
    body = {"message": "Hello [[fake tokens=30 rate=60]]"}
    async with user.stream("/api/v1/chat/stream", json=body) as (response, found):
        turn_id = response.headers["x-turn-id"]
        first = [await anext(found) for _ in range(10)]
        resumed, whole = await asyncio.gather(user.resumed(turn_id, 10), user.resumed(turn_id))
        first += [event async for event in found]
    assert whole == first
    assert resumed == first[10:]
    assert await user.resumed(turn_id) == first
    assert await user.resumed(turn_id, 12) == first[12:]
    assert await user.resumed(turn_id, first[-1].id) == first[-1:]


@pytest.mark.parametrize("cursor", ["33", "-1", "x", "9" * 30, "9" * 1000])
async def test_an_invalid_cursor_is_refused(replica: ChatReplica, cursor: str) -> None:
    user = replica.user()
    turn_id = (await user.chat("Hello [[fake tokens=4]]")).json()["turn_id"]
    path = f"/api/v1/chat/turns/{turn_id}/stream"
    for given in ({"headers": {"Last-Event-ID": cursor}}, {"params": {"after": cursor}}):
        response = await user.request("GET", path, **given)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_cursor")


async def test_fifty_requests_with_one_idempotency_key_make_one_provider_call(
    replica: ChatReplica, provider: FakeProvider
) -> None:
    user, mark = replica.user(), str(new_id())
    headers = {"Idempotency-Key": mark}
    message = f"Hello {mark} [[fake tokens=5 latency_ms=100]]"
    responses = await asyncio.gather(*(user.chat(message, headers=headers) for _ in range(50)))
    assert {r.status_code for r in responses} == {200}
    assert len({r.content for r in responses}) == 1
    assert sum(r.headers.get("idempotency-replayed") == "true" for r in responses) == 49
    assert len(await provider.journal(contains=mark)) == 1
    other = await user.chat("Another", headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_failed_turn_frees_its_idempotency_key(replica: ChatReplica, provider: FakeProvider) -> None:
    user, mark = replica.user(), str(new_id())
    headers = {"Idempotency-Key": mark}
    message = f"Hello {mark} [[fake status=400 times=1]]"
    first = await user.chat(message, headers=headers)
    assert (first.status_code, first.json()["code"]) == (502, "provider_error")
    assert (await user.turn(first.json()["turn_id"]))["status"] == "failed"
    second = await user.chat(message, headers=headers)
    assert second.status_code == 200, second.text
    assert "idempotency-replayed" not in second.headers


async def test_models_are_listed(replica: ChatReplica) -> None:
    user = replica.user()
    body = (await user.request("GET", "/api/v1/models")).json()
    assert (body["default"], body["next_cursor"]) == ("default", None)
    assert body["data"][0]["id"] == "default"
    assert body["data"][0]["context_window"] == 8192
    listed = (await user.request("GET", "/v1/models")).json()
    assert [(m["id"], m["owned_by"]) for m in listed["data"]] == [("default", "parley")]
    assert (await user.request("GET", "/v1/models/default")).json() == listed["data"][0]
    missing = await user.request("GET", "/v1/models/gpt-none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
