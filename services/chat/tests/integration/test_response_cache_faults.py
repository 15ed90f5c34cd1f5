"""The response cache during outages of Redis and crashes."""

import asyncio
import contextlib
from typing import Any
from uuid import UUID

import httpx2
import pytest

from chat.storage.redis_response_index import RedisResponseIndex
from chat_testing.process import SpawnChat
from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from chat_testing.users import ChatUser
from fake_provider.process import FakeProvider
from parley.errors import DependencyUnavailable
from parley.ids import new_id
from parley.storage.postgres import open_pool
from parley.storage.redis import SOCKET_TIMEOUT, open_redis
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.faults.processes import frozen, kill, state_of

pytestmark = pytest.mark.integration

RECOVERED_WITHIN = 25.0


def lookups(replica: ChatReplica, result: str) -> float:
    registry = replica.app.state.runtime.metrics.registry
    return float(registry.get_sample_value("chat_answer_cache_lookups_total", {"result": result}) or 0)


async def test_without_redis_the_provider_is_called(
    open_replica: OpenReplica, new_database: NewDatabase, valkey: EmbeddedValkey, provider: FakeProvider
) -> None:
    caching: dict[str, Any] = {"enable_cache": True, "redis_timeout": SOCKET_TIMEOUT, "redis_url": valkey.url}
    async with open_replica(await new_database(), **caching) as replica:
        user, message = replica.user(), f"{new_id()} [[fake tokens=3]]"

        answers_cached: list[bool] = []

        async def is_cached() -> bool:
            response = await user.chat(message)
            assert response.status_code == 200, response.text
            answers_cached.append(response.json()["cached"])
            return answers_cached[-1]

        assert not await is_cached()
        await eventually(lambda: not replica.wired.supervisor.running())
        # On a busy machine a lookup may time out; it then counts as an error.
        await eventually(is_cached)
        earlier = lookups(replica, "error")
        async with frozen(valkey.child):
            assert not await is_cached()
        assert lookups(replica, "error") == earlier + 1
        await kill(valkey.child)
        try:
            assert not await is_cached()
        finally:
            await valkey.start()
        assert (lookups(replica, "hit"), lookups(replica, "error")) == (1, earlier + 2)
        assert len(await provider.journal(contains=message.split(maxsplit=1)[0])) == answers_cached.count(False)


@pytest.mark.parametrize(
    ("moment", "status"), [("before", "failed"), pytest.param("after", "completed", marks=pytest.mark.chaos)]
)
async def test_a_crash_at_the_end_of_a_cached_answer_leaves_it_complete_or_unshown(
    open_replica: OpenReplica,
    new_database: NewDatabase,
    spawn: SpawnChat,
    provider: FakeProvider,
    backends: SharedBackends,
    moment: str,
    status: str,
) -> None:
    dsn, message = await new_database(), f"{new_id()} [[fake tokens=3]]"
    key = {"Idempotency-Key": "again"}
    # The longest answer is a part of the question.
    output: dict[str, Any] = {"model_context_window": 8192, "model_max_output_tokens": 1024}
    failpoint = {"ENABLE_CACHE": "true", "FAILPOINT": f"turns.finish:{moment}:2"}
    failpoint |= {name.upper(): str(value) for name, value in output.items()}
    async with open_pool(dsn, size=2) as rows, open_replica(dsn, enable_cache=True, **output) as survivor:
        async with spawn(dsn, rows, **failpoint) as victim:
            user = victim.user()
            first = (await user.chat(message)).json()
            await eventually(lambda: _noted(backends, first["turn_id"]))
            with contextlib.suppress(httpx2.HTTPError):
                await user.chat(message, headers=key)
            await eventually(lambda: state_of(victim.child.pid) is None)
        there = survivor.as_seen_by(user)
        turn = await eventually(lambda: _ended_after(there, first["turn_id"]), within=RECOVERED_WITHIN)
        # An answer that was neither shown nor billed fails and frees its idempotency key.
        assert (turn["status"], turn["tokens_used"], turn["cached"]) == (status, 0, moment == "after")
        names = [row["name"].rpartition(".")[2] for row in await survivor.outbox(turn["conversation_id"])]
        assert names == ["started", status]
        again = await there.chat(message, headers=key)
        assert (again.status_code, again.json()["message"], again.json()["cached"]) == (200, "t1 t2 t3", True)
        assert (again.json()["turn_id"] == turn["id"]) is (moment == "after")
        assert len(await provider.journal(contains=message.split(maxsplit=1)[0])) == 1


async def _noted(backends: SharedBackends, turn_id: str) -> bool:
    """Tell whether the answer of a turn is cached."""
    async with open_redis(await backends.redis_url(), timeout=20) as redis:
        keys = [key async for key in redis.scan_iter("parley:answer:*", count=1000)]
        values: Any = await redis.mget(keys) if keys else []
    return any(value and value.endswith(UUID(turn_id).bytes) for value in values)


async def _ended_after(user: ChatUser, first: str) -> Any:
    """Return a user's other turn when it has ended."""
    turns = (await user.request("GET", "/api/v1/chat/turns")).json()["data"]
    return next((turn for turn in turns if turn["id"] != first and turn["status"] != "running"), None)


async def test_the_index_finds_an_entry_until_it_expires(backends: SharedBackends) -> None:
    one, other, turn_id = new_id().bytes, new_id().bytes, new_id()
    async with open_redis(await backends.redis_url(), timeout=5) as redis:
        index = RedisResponseIndex(redis, ttl=1, timeout=5)
        assert await index.find(one) is None
        await index.save(one, turn_id)
        assert (await index.find(one), await index.find(other)) == (turn_id, None)

        async def is_expired() -> bool:
            return await index.find(one) is None

        await eventually(is_expired)


@pytest.mark.parametrize("stored", [b"", b"1:", b"1:short", b"2:" + b"\x01" * 16, b"\xff" * 18, b"x" * 100_000])
async def test_unreadable_entries_of_the_index_are_ignored(backends: SharedBackends, stored: bytes) -> None:
    digest = new_id().bytes
    async with open_redis(await backends.redis_url(), timeout=5) as redis:
        await redis.set(b"parley:answer:" + digest.hex().encode(), stored, ex=60)
        assert await RedisResponseIndex(redis, ttl=60, timeout=5).find(digest) is None


async def test_the_index_fails_long_before_a_patient_client_would(valkey: EmbeddedValkey) -> None:
    async with open_redis(valkey.url) as redis, open_redis(valkey.url, timeout=30) as patient:
        for client in (redis, patient):
            index = RedisResponseIndex(client, ttl=60)
            async with frozen(valkey.child), asyncio.timeout(10):
                with pytest.raises(DependencyUnavailable):
                    await index.find(b"q")
                with pytest.raises(DependencyUnavailable):
                    await index.save(b"q", new_id())
