"""``/v1/chat/completions``, with OpenAI's client and on the wire."""

import asyncio
from typing import Any
from uuid import UUID

import orjson
import pytest

from chat_testing.replica import ChatReplica
from chat_testing.users import ChatUser
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley_testing import eventually

pytestmark = pytest.mark.integration

PATH = "/v1/chat/completions"
DEEP = {"type": "text", "text": "x", "cache_control": orjson.loads('{"a":' * 400 + "1" + "}" * 400)}


def body(text: str, **members: Any) -> dict[str, Any]:
    return {"model": "default", "messages": [{"role": "user", "content": text}], **members}


async def lines_of(user: ChatUser, request: dict[str, Any]) -> list[str]:
    """Return the data lines of a streamed completion."""
    stream = user.client.stream("POST", PATH, json=request, headers=user.headers)
    async with stream as response:
        assert response.status_code == 200, await response.aread()
        lines = [line async for line in response.aiter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    return [line.removeprefix("data: ") for line in lines]


async def test_a_completion_has_openai_form(replica: ChatReplica) -> None:
    user = replica.user()
    response = await user.request("POST", PATH, json=body("Hi [[fake tokens=3]]"))
    found = response.json()
    assert response.status_code == 200, found
    assert found["id"] == f"chatcmpl-{response.headers['x-turn-id'].replace('-', '')}"
    assert found["choices"][0]["message"] == {
        "role": "assistant",
        "content": "t1 t2 t3",
        "refusal": None,
        "annotations": [],
    }
    assert found["choices"][0]["finish_reason"] == "stop"
    assert found["usage"]["completion_tokens"] == 3


async def test_a_stream_has_a_role_the_text_and_done(replica: ChatReplica) -> None:
    user = replica.user()
    lines = await lines_of(user, body("Hi [[fake tokens=3]]", stream=True))
    chunks = [orjson.loads(line) for line in lines[:-1]]
    assert lines[-1] == "[DONE]"
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "t1 t2 t3"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert all("usage" not in chunk for chunk in chunks)


async def test_usage_is_streamed_if_requested(replica: ChatReplica) -> None:
    request = body("Hi [[fake tokens=3]]", stream=True, stream_options={"include_usage": True})
    lines = await lines_of(replica.user(), request)
    last = orjson.loads(lines[-2])
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 3


async def test_the_official_client_streams_and_raises(replica: ChatReplica) -> None:
    import openai

    user = replica.user()
    async with openai.AsyncOpenAI(base_url=f"{replica.url}/v1", api_key=user.token, max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": "Hi [[fake tokens=4]]"}], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
        assert text == "t1 t2 t3 t4"
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="none", messages=[{"role": "user", "content": "Hi"}])
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(
                model="default",
                messages=[{"role": "user", "content": "Hi [[fake status=429 retry_after=60]]"}],
                stream=True,
            )
        broken = await client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": "Hi [[fake cut_after=2]]"}], stream=True
        )
        with pytest.raises(openai.APIError):
            _ = [chunk async for chunk in broken]


async def test_tools_pass_through(replica: ChatReplica, provider: FakeProvider) -> None:
    user, mark = replica.user(), str(new_id())
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    request = body(f"{mark} [[fake tool_calls=1]]", tools=tools)
    found = (await user.request("POST", PATH, json=request)).json()
    choice = found["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["type"] == "function"
    assert orjson.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) is not None
    assert (await provider.ended_call(mark))["request"]["tools"] == tools


async def test_the_result_of_a_stored_tool_call_reaches_later_turns(
    replica: ChatReplica, provider: FakeProvider
) -> None:
    user, mark = replica.user(), str(new_id())
    first = await user.request("POST", PATH, json=body("Weather? [[fake tool_calls=1]]", store=True))
    call = first.json()["choices"][0]["message"]
    where: dict[str, Any] = {"conversation_id": first.headers["x-conversation-id"]}
    result = {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "Rain"}
    messages = [{"role": "user", "content": "Weather? [[fake tokens=2]]"}, call, result]
    second = await user.request("POST", PATH, json={"model": "default", "messages": messages, "metadata": where})
    assert second.status_code == 200, second.text
    ended = (await replica.outbox(where["conversation_id"]))[-1]["data"]
    assert (ended["continues"], ended["parent_id"]) == (True, first.headers["x-turn-id"])
    assert [one["content"] for one in ended["tool_results"]] == ["Rain"]
    await user.chat(f"{mark} [[fake tokens=1]]", **where)
    sent = (await provider.ended_call(mark))["request"]["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "assistant", "user"]
    assert sent[0]["content"].startswith("Weather?")
    assert sent[2] == {**result}


async def test_a_completion_is_metered_but_not_stored(replica: ChatReplica) -> None:
    user = replica.user()
    response = await user.request("POST", PATH, json=body("Secret [[fake tokens=3]]"))
    turn_id = response.headers["x-turn-id"]
    found = await replica.outbox(turn_id)
    assert [row["name"] for row in found] == ["conversation.turn.completed"]
    data = found[0]["data"]
    assert (data["stored"], data["conversation_id"], data["message"], data["user_message"]) == (False, None, None, None)
    assert data["usage"]["completion_tokens"] == 3


async def test_instructions_alone_are_answered(replica: ChatReplica) -> None:
    user = replica.user()
    messages = [{"role": "system", "content": "Tell a joke. [[fake tokens=2]]"}]
    response = await user.request("POST", PATH, json={"model": "default", "messages": messages})
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"]
    refused = await user.request("POST", PATH, json={"model": "default", "messages": messages, "store": True})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "messages")


async def test_a_stored_completion_creates_a_conversation(replica: ChatReplica) -> None:
    user = replica.user()
    response = await user.request("POST", PATH, json=body("Keep [[fake tokens=1]]", store=True))
    conversation = response.headers["x-conversation-id"]
    assert len(await replica.outbox(conversation)) == 2
    request = body("More [[fake tokens=1]]", metadata={"conversation_id": conversation})
    assert (await user.request("POST", PATH, json=request)).headers["x-conversation-id"] == conversation
    assert len(await replica.outbox(conversation)) == 4


async def test_a_completion_creates_a_conversation_under_the_clients_id_only_if_it_says_so(
    replica: ChatReplica,
) -> None:
    user, conversation = replica.user(), str(new_id())
    metadata: dict[str, Any] = {"conversation_id": conversation}
    unknown = await user.request("POST", PATH, json=body("Hi", metadata=metadata))
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "conversation_not_found")
    for create in ("true", True):
        request = body("Hi [[fake tokens=1]]", metadata={**metadata, "create": create, "kept": "x"})
        assert (await user.request("POST", PATH, json=request)).headers["x-conversation-id"] == conversation
    assert (await replica.outbox(conversation))[-1]["data"]["metadata"] == {"kept": "x"}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_disconnect_cancels_the_turn(replica: ChatReplica, provider: FakeProvider, stream: bool) -> None:
    user, mark = replica.user(), str(new_id())
    request = body(f"{mark} [[fake tokens=1000 rate=20]]", stream=stream)
    leaving = asyncio.create_task(user.request("POST", PATH, json=request))

    async def answer_has_begun() -> bool:
        return any(call["tokens_sent"] > 10 for call in await provider.journal(contains=mark))

    await eventually(answer_has_begun)
    leaving.cancel()
    call = await eventually(lambda: provider.ended_call(mark), within=20)
    assert call["ended"] == "client_disconnected"
    row = await eventually(lambda: _ended_turn(replica, user.id))
    assert row["status"] == "cancelled"
    assert row["content"].startswith("t1 t2")


async def test_a_client_with_an_idempotency_key_may_disconnect_and_retry(
    replica: ChatReplica, provider: FakeProvider
) -> None:
    user, mark = replica.user(), str(new_id())
    request, headers = body(f"{mark} [[fake tokens=20 rate=20]]"), {"Idempotency-Key": mark}
    leaving = asyncio.create_task(user.request("POST", PATH, json=request, headers=headers))
    await eventually(lambda: provider.journal(contains=mark))
    leaving.cancel()
    again = await user.request("POST", PATH, json=request, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["choices"][0]["message"]["content"].endswith("t20")
    assert len(await provider.journal(contains=mark)) == 1


@pytest.mark.parametrize(
    ("members", "status", "code"),
    [
        ({"n": 2}, 400, "invalid_request"),
        ({"model": None}, 400, "invalid_request"),
        ({"tools": [{"type": "function"}], "tool_choice": "required"}, 400, "invalid_request"),
        ({"messages": []}, 422, "validation_failed"),
        ({"messages": [{"role": "system", "content": "x"}], "store": True}, 422, "validation_failed"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "unsupported_content"),
        ({"messages": [{"role": "user", "content": "\x00"}]}, 422, "validation_failed"),
        ({"tools": [{"function": {"name": "a\x00"}}]}, 422, "validation_failed"),
        ({"seed": 2**64}, 422, "validation_failed"),
        ({"tools": [{"function": {"parameters": {"minimum": -(2**63) - 1}}}]}, 422, "validation_failed"),
        ({"messages": [{"role": "user", "content": [DEEP]}]}, 422, "validation_failed"),
        ({"metadata": {"conversation_id": "x"}}, 422, "validation_failed"),
        ({"metadata": {"conversation_id": str(new_id()), "create": "yes"}}, 422, "validation_failed"),
        ({"model": "gpt-none"}, 404, "model_not_found"),
    ],
)
async def test_bad_requests_are_refused(replica: ChatReplica, members: dict[str, Any], status: int, code: str) -> None:
    response = await replica.user().request("POST", PATH, json=body("x", **members) | members)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert list(response.json()) == ["error"]


async def test_parameters_are_forwarded_or_refused_by_name(replica: ChatReplica, provider: FakeProvider) -> None:
    user, mark = replica.user(), str(new_id())
    given = {"top_k": 5, "chat_template_kwargs": {"enable_thinking": False}, "user": "u"}
    assert (await user.request("POST", PATH, json=body(f"{mark} [[fake tokens=1]]", **given))).status_code == 200
    assert (await provider.ended_call(mark))["request"].items() >= given.items()
    refused = await user.request("POST", PATH, json=body("x", api_base="http://evil"))
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "api_base")


async def _ended_turn(replica: ChatReplica, user_id: UUID) -> Any:
    return await replica.pool.fetchrow("SELECT * FROM turns WHERE user_id = $1 AND status <> 'running'", user_id)


async def test_a_stranger_cannot_continue_a_completion(replica: ChatReplica) -> None:
    turn_id = await replica.user().start("Hi [[fake tokens=2]]")
    path = f"/internal/completions/{turn_id}/stream?include_usage=0&cancel=1"
    assert (await replica.user().request("GET", path)).status_code == 404
