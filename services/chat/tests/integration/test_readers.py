"""Readers of one turn: many, late, slow, on other replicas, and without a stored log."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat_testing.replica import NewDatabase, OpenReplica, ReplicaPair
from chat_testing.users import ChatUser
from parley.storage.redis import RedisClient, open_redis
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing import eventually

pytestmark = pytest.mark.integration

MANY = 20_000
"""Tokens of an answer that is more than the buffers of a connection take."""
PING = b": ping\n\n"


@pytest.fixture(scope="module")
async def pair(
    open_replica: OpenReplica, new_database: NewDatabase, valkey: EmbeddedValkey
) -> AsyncIterator[ReplicaPair]:
    dsn = await new_database()
    options: dict[str, Any] = {
        "redis_url": valkey.url,
        "model_context_window": 100_000,
        "model_max_output_tokens": MANY,
    }
    async with open_replica(dsn, **options) as one, open_replica(dsn, **options) as two:
        yield one, two


async def raw(user: ChatUser, turn_id: str) -> bytes:
    """Return the bytes of a stream, without pings."""
    response = await user.request("GET", f"/api/v1/chat/turns/{turn_id}/stream")
    assert response.status_code == 200, response.text
    return bytes(response.content.replace(PING, b""))


async def started(user: ChatUser, knobs: str) -> str:
    response = await user.chat(f"Hello [[fake {knobs}]]", headers={"Prefer": "respond-async"})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


async def test_ten_readers_on_two_replicas_get_the_same_bytes(pair: ReplicaPair) -> None:
    here = pair[0].user()
    turn_id = await started(here, "tokens=60 rate=60")
    at = asyncio.get_running_loop().time()

    async def join(user: ChatUser, moment: float) -> bytes:
        await asyncio.sleep(at + moment - asyncio.get_running_loop().time())
        return await raw(user, turn_id)

    users = [here, pair[1].as_seen_by(here)]
    streams = await asyncio.gather(*(join(users[i % 2], i * 0.12) for i in range(10)))
    assert set(streams) == {await raw(here, turn_id)}
    assert streams[0].count(b"data: {") == 62


async def test_a_resumed_stream_has_no_gap_after_the_log_expired(pair: ReplicaPair, valkey: EmbeddedValkey) -> None:
    here = pair[0].user()
    there = pair[1].as_seen_by(here)
    turn_id = await started(here, "tokens=40 rate=40")
    async with there.stream(f"/api/v1/chat/turns/{turn_id}/stream", method="GET") as (_, found):
        seen = [await anext(found) for _ in range(10)]
    await eventually(lambda: here.ended_turn(turn_id), within=20)
    async with open_redis(valkey.url, timeout=20) as redis:
        key = f"parley:turn:{turn_id}"
        assert 0 < await redis.ttl(key) <= 60
        await redis.pexpire(key, 1)
        await eventually(lambda: _gone(redis, key))
    rest = await there.resumed(turn_id, seen[-1].id)
    whole = await here.resumed(turn_id)
    assert [*seen, *rest] == whole
    assert "".join(event.data["delta"] for event in whole) == " ".join(f"t{i}" for i in range(1, 41))


async def test_a_resumed_stream_has_no_gap_after_a_running_turns_log_was_deleted(
    pair: ReplicaPair, valkey: EmbeddedValkey
) -> None:
    here = pair[0].user()
    there = pair[1].as_seen_by(here)
    turn_id = await started(here, "tokens=60 rate=30")
    async with there.stream(f"/api/v1/chat/turns/{turn_id}/stream", method="GET") as (_, found):
        seen = [await anext(found) for _ in range(10)]
    async with open_redis(valkey.url, timeout=20) as redis:
        assert await redis.delete(f"parley:turn:{turn_id}") == 1
    seen += await there.resumed(turn_id, seen[-1].id)
    assert seen == await here.resumed(turn_id)


async def test_a_slow_reader_delays_no_other_reader_and_misses_no_event(pair: ReplicaPair) -> None:
    here = pair[0].user()
    there = pair[1].as_seen_by(here)
    turn_id = await started(here, f"tokens={MANY}")
    path = f"/api/v1/chat/turns/{turn_id}/stream"
    async with here.stream(path, method="GET") as (_, one), there.stream(path, method="GET") as (_, other):
        first = [await anext(one), await anext(other)]
        turn = await eventually(lambda: here.ended_turn(turn_id), within=60)
        assert (turn["status"], turn["usage"]["completion_tokens"]) == ("completed", MANY)
        late = [[event async for event in found] for found in (one, other)]
    whole = await here.resumed(turn_id)
    assert [[start, *rest] for start, rest in zip(first, late, strict=True)] == [whole, whole]


async def test_readers_of_many_turns_on_another_replica_share_one_connection(
    pair: ReplicaPair, valkey: EmbeddedValkey
) -> None:
    users = [pair[0].user() for _ in range(5)]
    turn_ids = [await started(user, "tokens=60 rate=20") for user in users]
    reading = [
        asyncio.create_task(pair[1].as_seen_by(user).resumed(turn_id))
        for user, turn_id in zip(users, turn_ids, strict=True)
        for _ in range(4)
    ]
    async with open_redis(valkey.url, timeout=20) as redis:

        async def tailing() -> int:
            return sum(client["cmd"] == "xread" for client in await redis.client_list())

        await eventually(tailing)
        counts = [await tailing() for _ in range(100)]
    assert max(counts) == 1
    streams = await asyncio.gather(*reading)
    assert all(events[-1].data["status"] == "completed" for events in streams)
    assert len(streams) == 20


async def _gone(redis: RedisClient, key: str) -> bool:
    return not await redis.exists(key)
