"""``/v1/chat/completions``: disconnects, with readers on two replicas."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat_testing.replica import ChatReplica, ReplicaPair
from chat_testing.users import ChatUser
from parley.storage.redis import RedisClient, open_redis
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing import eventually
from parley_testing.faults.processes import frozen, kill

pytestmark = pytest.mark.integration

PATH = "/v1/chat/completions"
WHOLE = " ".join(f"t{i}" for i in range(1, 61))


@contextlib.asynccontextmanager
async def completion(user: ChatUser, tokens: int = 60) -> AsyncIterator[str]:
    """Stream a completion without a key; yields its turn, and leaves it when the context ends."""
    message = {"role": "user", "content": f"Hello [[fake tokens={tokens} rate=20]]"}
    request = {"model": "default", "stream": True, "messages": [message]}
    async with user.client.stream("POST", PATH, json=request, headers=user.headers) as response:
        assert response.status_code == 200, await response.aread()
        lines = response.aiter_lines()
        await anext(lines)
        yield response.headers["x-turn-id"]


async def end_of(user: ChatUser, turn_id: str) -> Any:
    async def ended() -> Any:
        turn = await user.turn(turn_id)
        return turn if turn["status"] != "running" else None

    return await eventually(ended, within=20)


async def test_a_turn_continues_for_a_reader_on_another_replica(pair: ReplicaPair) -> None:
    here = pair[0].user()
    there = pair[1].as_seen_by(here)
    async with completion(here) as turn_id:
        path = f"/api/v1/chat/turns/{turn_id}/stream"
        reading = there.stream(path, method="GET")
        _, found = await reading.__aenter__()
        seen = [await anext(found)]
    seen += [event async for event in found]
    await reading.__aexit__(None, None, None)
    assert seen[-1].data["status"] == "completed"
    assert "".join(event.data["delta"] for event in seen) == WHOLE


async def test_a_turn_continues_for_another_reader_on_its_own_replica(pair: ReplicaPair) -> None:
    user = pair[0].user()
    async with completion(user) as turn_id:
        reading = asyncio.create_task(user.resumed(turn_id))
        await eventually(lambda: _readers(pair[0], turn_id) == 2)
    assert (await reading)[-1].data["status"] == "completed"


async def test_a_turn_ends_if_the_reader_on_the_other_replica_has_left(
    pair: ReplicaPair, valkey: EmbeddedValkey
) -> None:
    here = pair[0].user()
    there = pair[1].as_seen_by(here)
    async with open_redis(valkey.url, timeout=20) as redis, completion(here, tokens=1000) as turn_id:
        async with there.stream(f"/api/v1/chat/turns/{turn_id}/stream", method="GET") as (_, found):
            await anext(found)
            assert await redis.exists(f"parley:turn:{turn_id}:read")
        await eventually(lambda: _gone(redis, turn_id), within=20)
    assert (await end_of(there, turn_id))["status"] == "cancelled"


async def test_without_redis_a_turn_continues_because_its_readers_are_unknown(
    pair: ReplicaPair, valkey: EmbeddedValkey
) -> None:
    user = pair[0].user()
    try:
        async with completion(user) as turn_id:
            await kill(valkey.child)
        assert (await end_of(user, turn_id))["status"] == "completed"
    finally:
        await valkey.start()


async def test_a_frozen_redis_delays_the_decision_for_at_most_its_timeout(
    pair: ReplicaPair, valkey: EmbeddedValkey
) -> None:
    user = pair[0].user()
    async with completion(user) as turn_id:
        await eventually(lambda: _readers(pair[0], turn_id) == 1)
        freezing = frozen(valkey.child)
        await freezing.__aenter__()
    try:
        assert (await end_of(user, turn_id))["status"] == "completed"
    finally:
        await freezing.__aexit__(None, None, None)


async def test_without_any_other_reader_the_turn_ends(pair: ReplicaPair) -> None:
    user = pair[0].user()
    async with completion(user) as turn_id:
        await eventually(lambda: _readers(pair[0], turn_id) == 1)
    turn = await end_of(user, turn_id)
    assert (turn["status"], turn["finish_reason"]) == ("cancelled", "cancelled")
    assert turn["usage"]["completion_tokens"] > 0


def _readers(replica: ChatReplica, turn_id: str) -> int:
    logs = (replica.wired.supervisor.log(found) for found in replica.wired.supervisor.running())
    return sum(len(log.readers) for log in logs if log is not None and str(log.turn.id) == turn_id)


async def _gone(redis: RedisClient, turn_id: str) -> bool:
    return not await redis.exists(f"parley:turn:{turn_id}:read")
