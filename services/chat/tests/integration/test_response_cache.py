"""The response cache: equal prompts and the answers stored for them."""

import asyncio
import math
from typing import Any

import orjson
import pytest

from chat.running.outcome import MAX_CACHED_ENTRY_LENGTH
from chat_testing.cached_turns import calls, complete, new_prompt
from chat_testing.replica import ChatReplica
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley.storage.redis import open_redis
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends

pytestmark = pytest.mark.integration

COMPLETIONS = "/v1/chat/completions"


async def test_a_repeated_prompt_is_answered_without_the_provider(
    cache_replica: ChatReplica, provider: FakeProvider
) -> None:
    user, message = cache_replica.user(), new_prompt()
    first = await complete(user, message)
    again = await complete(user, message)
    assert await calls(provider, message) == 1
    assert (first["cached"], again["cached"]) == (False, True)
    same = ("message", "status", "finish_reason", "model")
    assert [again[name] for name in same] == [first[name] for name in same]
    assert again["turn_id"] != first["turn_id"]
    assert (await user.turn(again["turn_id"]))["cached"] is True
    assert (await user.turn(first["turn_id"]))["cached"] is False


async def test_a_cached_answer_has_no_usage_and_no_cost(cache_replica: ChatReplica) -> None:
    user, message = cache_replica.user(), new_prompt("tokens=50")
    # Without it the budget would say what the longest answer is, and the question change with it.
    limit = {"max_tokens": 1000}
    claims = {**cache_replica.issuer.claims(user.id), "plan": "metered"}
    user.headers = {"Authorization": f"Bearer {cache_replica.issuer.sign(claims)}"}
    first = await complete(user, message, **limit)
    for _ in range(5):
        again = await complete(user, message, **limit)
        assert (again["cached"], again["tokens_used"], again["cost_estimate"]) == (True, 0, 0)
        assert again["usage"]["total_tokens"] == 0
    budget = await cache_replica.pool.fetchrow(
        "SELECT * FROM budgets WHERE user_id = $1 AND length(period) = 10", user.id
    )
    assert (budget["tokens"], budget["reserved_tokens"]) == (first["tokens_used"], 0)


async def test_a_cached_answer_is_a_turn_of_its_own(cache_replica: ChatReplica, provider: FakeProvider) -> None:
    user, message = cache_replica.user(), new_prompt()
    await complete(user, message)
    again = await complete(user, message)
    started, ended = await cache_replica.outbox(again["conversation_id"])
    assert (started["name"], ended["name"]) == ("conversation.turn.started", "conversation.turn.completed")
    assert (ended["data"]["cached"], ended["data"]["message"]["content"]) == (True, "t1 t2 t3")
    assert (ended["data"]["provider"], ended["data"]["provider_model"]) == ("openai", "fake")
    more = new_prompt()
    await complete(user, more, conversation_id=again["conversation_id"])
    (call,) = await provider.journal(contains=more.split()[0])
    assert [m["content"] for m in call["request"]["messages"]] == [message, "t1 t2 t3", more]


async def test_equal_conversations_share_the_cached_answer_of_their_next_message(
    cache_replica: ChatReplica, provider: FakeProvider
) -> None:
    user, message, then = cache_replica.user(), new_prompt(), new_prompt()
    conversations = [(await complete(user, message))["conversation_id"] for _ in range(2)]
    answers = [await complete(user, then, conversation_id=conversation) for conversation in conversations]
    assert [answer["cached"] for answer in answers] == [False, True]
    alone = await complete(user, then)
    assert alone["cached"] is False
    assert await calls(provider, then) == 2


async def test_a_stream_of_a_cached_answer_has_all_events_and_can_be_resumed(cache_replica: ChatReplica) -> None:
    user, message = cache_replica.user(), new_prompt("tokens=9000")
    first = await complete(user, message)

    events = await user.streamed("/api/v1/chat/stream", json={"message": message})
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert (events[0].data["status"], events[0].data["finished"]) == ("running", False)
    assert "".join(event.data["delta"] for event in events) == first["message"]
    assert len(events) == 2 + math.ceil(len(first["message"]) / MAX_CACHED_ENTRY_LENGTH)
    last = events[-1].data
    assert (last["finished"], last["status"], last["cached"]) == (True, "completed", True)
    assert await user.resumed(last["turn_id"]) == events
    assert await user.resumed(last["turn_id"], 2) == events[2:]


async def test_chat_completions_are_answered_from_the_cache_in_both_forms(
    cache_replica: ChatReplica, provider: FakeProvider
) -> None:
    user, message = cache_replica.user(), new_prompt("tool_calls=2")
    request = {"model": "default", "messages": [{"role": "user", "content": message}], "tools": [{"type": "function"}]}
    first = (await user.request("POST", COMPLETIONS, json=request)).json()
    await eventually(lambda: not cache_replica.wired.supervisor.running())
    whole = (await user.request("POST", COMPLETIONS, json=request)).json()
    assert whole["choices"] == first["choices"]
    assert len(whole["choices"][0]["message"]["tool_calls"]) == 2
    streamed = await user.request(
        "POST", COMPLETIONS, json={**request, "stream": True, "stream_options": {"include_usage": True}}
    )
    lines = [line.removeprefix("data: ") for line in streamed.text.split("\n") if line]
    assert lines[-1] == "[DONE]"
    chunks = [orjson.loads(line) for line in lines[:-1]]
    deltas = [call for chunk in chunks[:-1] for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    arguments = "".join(delta["function"].get("arguments", "") for delta in deltas if delta["index"] == 1)
    assert arguments == whole["choices"][0]["message"]["tool_calls"][1]["function"]["arguments"]
    assert chunks[-1]["usage"]["total_tokens"] == 0
    assert await calls(provider, message) == 1
    await user.request("POST", COMPLETIONS, json=request, headers={"Cache-Control": "no-cache"})
    await user.request("POST", COMPLETIONS, json={**request, "seed": 7})
    assert await calls(provider, message) == 3


async def test_concurrent_equal_prompts_are_all_answered(cache_replica: ChatReplica, provider: FakeProvider) -> None:
    user, message = cache_replica.user(), new_prompt("tokens=5 rate=50")
    responses = await asyncio.gather(*(user.chat(message) for _ in range(8)))
    assert {r.json()["message"] for r in responses} == {"t1 t2 t3 t4 t5"}
    assert {r.json()["status"] for r in responses} == {"completed"}
    asked_before = await calls(provider, message)
    assert (await complete(user, message))["cached"] is True
    assert await calls(provider, message) == asked_before


async def test_redis_stores_neither_prompts_nor_answers(cache_replica: ChatReplica, backends: SharedBackends) -> None:
    user, mark = cache_replica.user(), str(new_id())
    await complete(user, f"{mark} [[fake mode=echo]]")
    async with open_redis(await backends.redis_url(), timeout=20) as redis:
        noted = [key async for key in redis.scan_iter("parley:answer:*", count=1000)]
        values: Any = await redis.mget(noted)
        assert noted
        assert -1 not in await asyncio.gather(*(redis.pttl(key) for key in noted))
    assert mark.encode() not in b"".join(noted) + b"".join(filter(None, values))
    assert {len(value) for value in values if value} == {18}
