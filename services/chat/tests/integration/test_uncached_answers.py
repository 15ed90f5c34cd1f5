"""Answers that the response cache does not keep, or that a request does not want from it."""

from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from chat_testing.cached_turns import calls, complete, new_prompt
from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from fake_provider.process import FakeProvider
from parley.storage.redis import RedisClient, open_redis
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing import eventually

pytestmark = pytest.mark.integration


async def test_cached_answers_are_not_shared_between_users(cache_replica: ChatReplica, provider: FakeProvider) -> None:
    message = new_prompt()
    for user in (cache_replica.user(), cache_replica.user()):
        assert (await complete(user, message))["cached"] is False
    assert await calls(provider, message) == 2


async def test_without_the_setting_the_provider_is_always_called(replica: ChatReplica, provider: FakeProvider) -> None:
    user, message = replica.user(), new_prompt()
    assert [(await user.chat(message)).json()["cached"] for _ in range(2)] == [False, False]
    assert await calls(provider, message) == 2


async def test_a_cached_answer_expires(
    open_replica: OpenReplica, new_database: NewDatabase, valkey: EmbeddedValkey, provider: FakeProvider
) -> None:
    caching: dict[str, Any] = {"enable_cache": True, "cache_ttl": 60, "redis_url": valkey.url}
    async with open_replica(await new_database(), **caching) as replica, open_redis(valkey.url, timeout=10) as redis:
        user, message = replica.user(), new_prompt()
        await complete(user, message)
        assert (await complete(user, message))["cached"] is True
        (key,) = [key async for key in redis.scan_iter("parley:answer:*")]
        assert 0 < await redis.pttl(key) <= 60_000
        await redis.pexpire(key, 1)
        await eventually(partial(is_gone, redis, key))
        assert (await complete(user, message))["cached"] is False
        assert await calls(provider, message) == 2


async def is_gone(redis: RedisClient, key: bytes) -> bool:
    return not await redis.exists(key)


async def test_no_cache_requests_a_new_answer_that_is_cached(
    cache_replica: ChatReplica, provider: FakeProvider
) -> None:
    user, message = cache_replica.user(), new_prompt()
    first = await complete(user, message)
    second = await complete(user, message, headers={"Cache-Control": "no-cache"})
    assert second["cached"] is False
    await cache_replica.pool.execute("UPDATE turns SET content = 'old' WHERE id = $1", first["turn_id"])
    third = await complete(user, message)
    assert (third["cached"], third["message"]) == (True, "t1 t2 t3")
    assert await calls(provider, message) == 2


async def test_no_store_keeps_an_answer_out_of_the_cache(cache_replica: ChatReplica, provider: FakeProvider) -> None:
    user, message = cache_replica.user(), new_prompt()
    for _ in range(2):
        assert (await complete(user, message, headers={"Cache-Control": "no-store"}))["cached"] is False
    assert (await complete(user, message))["cached"] is False
    assert (await complete(user, message, headers={"Cache-Control": "max-age=0, no-store"}))["cached"] is False
    assert await calls(provider, message) == 4


async def test_a_regeneration_is_not_answered_from_the_cache(
    cache_replica: ChatReplica, provider: FakeProvider
) -> None:
    user, message = cache_replica.user(), new_prompt()
    first = await complete(user, message)
    redo = {"regenerate": first["turn_id"], "conversation_id": first["conversation_id"]}
    response = await user.chat(None, **redo)
    assert (response.status_code, response.json()["cached"]) == (200, False)
    assert await calls(provider, message) == 2


@pytest.mark.parametrize(
    "knobs", ["tokens=3 finish_reason=length", "tokens=3 finish_reason=content_filter", "tokens=3 cut_after=2"]
)
async def test_an_incomplete_answer_is_not_cached(
    cache_replica: ChatReplica, provider: FakeProvider, knobs: str
) -> None:
    user, message = cache_replica.user(), new_prompt(knobs)
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
