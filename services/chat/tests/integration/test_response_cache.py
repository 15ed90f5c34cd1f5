"""The response cache."""

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from chat.running.outcome import MAX_CACHED_ENTRY_LENGTH
from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from chat_testing.users import ChatUser, StreamEvent
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley.storage.redis import open_redis
from parley_testing import eventually
from parley_testing.backends.shared import SharedBackends

pytestmark = pytest.mark.integration

COMPLETIONS = "/v1/chat/completions"
PLANS = """
default: {tokens_per_minute: null}
metered: {tokens_per_day: 2000, tokens_per_minute: 100}
"""


@pytest.fixture(scope="module")
async def caching(
    open_replica: OpenReplica, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ChatReplica]:
    """A replica with the response cache."""
    plans = tmp_path_factory.mktemp("plans") / "plans.yaml"
    plans.write_text(PLANS)
    options: dict[str, Any] = {"enable_cache": True, "plans_file": plans, "model_max_output_tokens": 20_000}
    options["model_context_window"] = 128_000
    async with open_replica(await new_database(), **options) as found:
        yield found


def new_prompt(knobs: str = "tokens=3") -> str:
    """Return a prompt that is not cached."""
    return f"{new_id()} [[fake {knobs}]]"


async def complete(user: ChatUser, message: str, **members: Any) -> Any:
    """Return the answer to a message once it is cached."""
    response = await user.chat(message, **members)
    assert response.status_code == 200, response.text
    supervisor = user.replica.wired.supervisor
    await eventually(lambda: not supervisor.running())
    return response.json()


async def calls(provider: FakeProvider, message: str) -> int:
    """Return the number of provider calls with a message."""
    return len(await provider.journal(contains=message.split(maxsplit=1)[0]))


async def test_a_repeated_prompt_is_answered_without_the_provider(caching: ChatReplica, provider: FakeProvider) -> None:
    user, message = caching.user(), new_prompt()
    first = await complete(user, message)
    again = await complete(user, message)
    assert await calls(provider, message) == 1
    assert (first["cached"], again["cached"]) == (False, True)
    same = ("message", "status", "finish_reason", "model")
    assert [again[name] for name in same] == [first[name] for name in same]
    assert again["turn_id"] != first["turn_id"]
    assert (await user.turn(again["turn_id"]))["cached"] is True
    assert (await user.turn(first["turn_id"]))["cached"] is False


async def test_a_cached_answer_has_no_usage_and_no_cost(caching: ChatReplica) -> None:
    user, message = caching.user(), new_prompt("tokens=50")
    # Without it the budget would say what the longest answer is, and the question change with it.
    limit = {"max_tokens": 1000}
    claims = {**caching.issuer.claims(user.id), "plan": "metered"}
    user.headers = {"Authorization": f"Bearer {caching.issuer.sign(claims)}"}
    first = await complete(user, message, **limit)
    for _ in range(5):
        again = await complete(user, message, **limit)
        assert (again["cached"], again["tokens_used"], again["cost_estimate"]) == (True, 0, 0)
        assert again["usage"]["total_tokens"] == 0
    budget = await caching.pool.fetchrow("SELECT * FROM budgets WHERE user_id = $1 AND length(period) = 10", user.id)
    assert (budget["tokens"], budget["reserved_tokens"]) == (first["tokens_used"], 0)


async def test_a_cached_answer_is_a_turn_of_its_own(caching: ChatReplica, provider: FakeProvider) -> None:
    user, message = caching.user(), new_prompt()
    await complete(user, message)
    again = await complete(user, message)
    started, ended = await caching.outbox(again["conversation_id"])
    assert (started["name"], ended["name"]) == ("conversation.turn.started", "conversation.turn.completed")
    assert (ended["data"]["cached"], ended["data"]["message"]["content"]) == (True, "t1 t2 t3")
    assert (ended["data"]["provider"], ended["data"]["provider_model"]) == ("openai", "fake")
    more = new_prompt()
    await complete(user, more, conversation_id=again["conversation_id"])
    (call,) = await provider.journal(contains=more.split()[0])
    assert [m["content"] for m in call["request"]["messages"]] == [message, "t1 t2 t3", more]


async def test_equal_conversations_share_the_cached_answer_of_their_next_message(
    caching: ChatReplica, provider: FakeProvider
) -> None:
    user, message, then = caching.user(), new_prompt(), new_prompt()
    conversations = [(await complete(user, message))["conversation_id"] for _ in range(2)]
    answers = [await complete(user, then, conversation_id=conversation) for conversation in conversations]
    assert [answer["cached"] for answer in answers] == [False, True]
    alone = await complete(user, then)
    assert alone["cached"] is False
    assert await calls(provider, then) == 2


async def test_cached_answers_are_not_shared_between_users(caching: ChatReplica, provider: FakeProvider) -> None:
    message = new_prompt()
    for user in (caching.user(), caching.user()):
        assert (await complete(user, message))["cached"] is False
    assert await calls(provider, message) == 2


async def test_without_the_setting_the_provider_is_always_called(replica: ChatReplica, provider: FakeProvider) -> None:
    user, message = replica.user(), new_prompt()
    assert [(await user.chat(message)).json()["cached"] for _ in range(2)] == [False, False]
    assert await calls(provider, message) == 2


async def test_a_cached_answer_expires(
    open_replica: OpenReplica, new_database: NewDatabase, provider: FakeProvider
) -> None:
    async with open_replica(await new_database(), enable_cache=True, cache_ttl=2) as replica:
        user, message = replica.user(), new_prompt()
        await complete(user, message)
        assert (await complete(user, message))["cached"] is True

        async def asked_anew() -> bool:
            return not (await complete(user, message))["cached"]

        await eventually(asked_anew)
        assert await calls(provider, message) == 2


async def test_no_cache_requests_a_new_answer_that_is_cached(caching: ChatReplica, provider: FakeProvider) -> None:
    user, message = caching.user(), new_prompt()
    first = await complete(user, message)
    second = await complete(user, message, headers={"Cache-Control": "no-cache"})
    assert second["cached"] is False
    await caching.pool.execute("UPDATE turns SET content = 'old' WHERE id = $1", first["turn_id"])
    third = await complete(user, message)
    assert (third["cached"], third["message"]) == (True, "t1 t2 t3")
    assert await calls(provider, message) == 2


async def test_no_store_keeps_an_answer_out_of_the_cache(caching: ChatReplica, provider: FakeProvider) -> None:
    user, message = caching.user(), new_prompt()
    for _ in range(2):
        assert (await complete(user, message, headers={"Cache-Control": "no-store"}))["cached"] is False
    assert (await complete(user, message))["cached"] is False
    assert (await complete(user, message, headers={"Cache-Control": "max-age=0, no-store"}))["cached"] is False
    assert await calls(provider, message) == 4


async def test_a_regeneration_is_not_answered_from_the_cache(caching: ChatReplica, provider: FakeProvider) -> None:
    user, message = caching.user(), new_prompt()
    first = await complete(user, message)
    redo = {"regenerate": first["turn_id"], "conversation_id": first["conversation_id"]}
    response = await user.chat(None, **redo)
    assert (response.status_code, response.json()["cached"]) == (200, False)
    assert await calls(provider, message) == 2


@pytest.mark.parametrize(
    "knobs", ["tokens=3 finish_reason=length", "tokens=3 finish_reason=content_filter", "tokens=3 cut_after=2"]
)
async def test_an_incomplete_answer_is_not_cached(caching: ChatReplica, provider: FakeProvider, knobs: str) -> None:
    user, message = caching.user(), new_prompt(knobs)
    for _ in range(2):
        assert (await complete(user, message))["cached"] is False
    assert await calls(provider, message) == 2


async def test_the_answer_of_a_fallback_model_is_not_cached(
    open_replica: OpenReplica, new_database: NewDatabase, provider: FakeProvider, tmp_path: Path
) -> None:
    models = tmp_path / "models.yaml"
    entries = {
        "default": {"provider_model": "fake", "base_url": "http://127.0.0.1:9/v1", "fallbacks": ["other"]},
        "other": {"provider_model": "fake"},
    }
    models.write_text(orjson.dumps({"models": entries}).decode())
    async with open_replica(
        await new_database(), enable_cache=True, models_file=models, openai_max_retries=0
    ) as replica:
        user, message = replica.user(), new_prompt()
        assert [(await complete(user, message))["cached"] for _ in range(2)] == [False, False]
        assert await calls(provider, message) == 2
        assert [(await complete(user, message, model="other"))["cached"] for _ in range(2)] == [False, True]


async def test_a_stream_of_a_cached_answer_has_all_events_and_can_be_resumed(caching: ChatReplica) -> None:
    user, message = caching.user(), new_prompt("tokens=9000")
    first = await complete(user, message)

    async def streamed_from_cache() -> list[StreamEvent] | None:
        # On a busy machine a lookup may time out; it then counts as an error, and the provider answers.
        found = await user.streamed("/api/v1/chat/stream", json={"message": message})
        return found if found[-1].data["cached"] else None

    events = await eventually(streamed_from_cache, within=30)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert (events[0].data["status"], events[0].data["finished"]) == ("running", False)
    assert "".join(event.data["delta"] for event in events) == first["message"]
    assert len(events) == 2 + math.ceil(len(first["message"]) / MAX_CACHED_ENTRY_LENGTH)
    last = events[-1].data
    assert (last["finished"], last["status"], last["cached"]) == (True, "completed", True)
    assert await user.resumed(last["turn_id"]) == events
    assert await user.resumed(last["turn_id"], 2) == events[2:]


async def test_chat_completions_are_answered_from_the_cache_in_both_forms(
    caching: ChatReplica, provider: FakeProvider
) -> None:
    user, message = caching.user(), new_prompt("tool_calls=2")
    request = {"model": "default", "messages": [{"role": "user", "content": message}], "tools": [{"type": "function"}]}
    first = (await user.request("POST", COMPLETIONS, json=request)).json()
    await eventually(lambda: not caching.wired.supervisor.running())
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


async def test_concurrent_equal_prompts_are_all_answered(caching: ChatReplica, provider: FakeProvider) -> None:
    user, message = caching.user(), new_prompt("tokens=5 rate=50")
    responses = await asyncio.gather(*(user.chat(message) for _ in range(8)))
    assert {r.json()["message"] for r in responses} == {"t1 t2 t3 t4 t5"}
    assert {r.json()["status"] for r in responses} == {"completed"}
    asked_before = await calls(provider, message)
    assert (await complete(user, message))["cached"] is True
    assert await calls(provider, message) == asked_before


async def test_redis_stores_neither_prompts_nor_answers(caching: ChatReplica, backends: SharedBackends) -> None:
    user, mark = caching.user(), str(new_id())
    await complete(user, f"{mark} [[fake mode=echo]]")
    async with open_redis(await backends.redis_url(), timeout=2) as redis:
        noted = [key async for key in redis.scan_iter("parley:answer:*", count=1000)]
        values: Any = await redis.mget(noted)
        assert noted
        assert all(await asyncio.gather(*(redis.ttl(key) for key in noted)))
    assert mark.encode() not in b"".join(noted) + b"".join(filter(None, values))
    assert {len(value) for value in values if value} == {18}
