"""Stream leases: the contract of the Redis store and of its fake, and the expiry in Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio.client import Pipeline

from gateway.access.stream_leases import LEASE_DURATION, StreamLeases
from gateway_testing.fakes import FakeStreamLeases
from parley.ids import new_id
from parley.storage.redis import RedisClient, open_redis
from parley_testing.backends.shared_servers import SharedBackends

pytestmark = pytest.mark.integration

Processes = tuple[StreamLeases, StreamLeases]


@pytest.fixture
async def redis(backends: SharedBackends) -> AsyncIterator[RedisClient]:
    async with open_redis(await backends.redis_url(), timeout=20) as client:
        yield client


@pytest.fixture(params=["redis", "fake"])
def processes(request: pytest.FixtureRequest, redis: RedisClient) -> Processes:
    """The leases of two gateway processes."""
    if request.param == "fake":
        held: dict[str, str] = {}
        return FakeStreamLeases(held), FakeStreamLeases(held)
    return StreamLeases(redis, timeout=2), StreamLeases(redis, timeout=2)


async def test_processes_share_the_limit_of_a_user(processes: Processes) -> None:
    one, two = processes
    ada, bob = str(new_id()), str(new_id())
    tokens = [await one.acquire(ada, 2), await two.acquire(ada, 2)]
    assert None not in tokens
    assert len(set(tokens)) == 2
    assert await one.acquire(ada, 2) is None
    assert await two.acquire(ada, 2) is None
    assert await two.acquire(bob, 2) is not None


async def test_a_released_lease_can_be_acquired_again(processes: Processes) -> None:
    one, two = processes
    user = str(new_id())
    token = await one.acquire(user, 1)
    assert token is not None
    for _ in range(2):
        await one.release(token)
    assert await two.acquire(user, 1) is not None
    assert await two.acquire(user, 1) is None


async def test_a_lease_expires_by_itself(redis: RedisClient) -> None:
    user = str(new_id())
    await StreamLeases(redis, timeout=2).acquire(user, 1)
    assert LEASE_DURATION < await redis.ttl(f"parley:streams:{user}") <= LEASE_DURATION * 2
    await redis.zadd(f"parley:streams:{user}", {"lease of a dead process": 0})
    assert await StreamLeases(redis, timeout=2).acquire(user, 2) is not None


@pytest.mark.parametrize("error", [-3600, 3600])
async def test_the_clock_of_a_process_does_not_matter(
    error: float, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases, user, now = StreamLeases(redis, timeout=2), str(new_id()), time.time()
    token = await leases.acquire(user, 1)
    assert token is not None
    await redis.zadd(f"parley:streams:{user}", {token: now + 5})
    monkeypatch.setattr(time, "time", lambda: now + error)
    renewal = asyncio.create_task(leases.keep_renewed())
    while await redis.zscore(f"parley:streams:{user}", token) == now + 5:
        await asyncio.sleep(0.01)
    renewal.cancel()
    until = await redis.zscore(f"parley:streams:{user}", token)
    assert until is not None
    assert now + 10 < until < now + 60
    assert await StreamLeases(redis, timeout=2).acquire(user, 1) is None


async def test_a_lease_that_is_released_while_it_is_renewed_is_gone(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases, user, renewed = StreamLeases(redis, timeout=2), str(new_id()), asyncio.Event()
    token = await leases.acquire(user, 1)
    assert token is not None
    execute = Pipeline.execute

    async def release_first(pipeline: Pipeline) -> list[Any]:
        await leases.release(token)
        replies = await execute(pipeline)
        renewed.set()
        return replies

    monkeypatch.setattr(Pipeline, "execute", release_first)
    renewal = asyncio.create_task(leases.keep_renewed())
    await renewed.wait()
    await asyncio.sleep(0.2)
    renewal.cancel()
    assert await redis.zcard(f"parley:streams:{user}") == 0


async def test_without_redis_every_process_grants_leases() -> None:
    async with open_redis("redis://127.0.0.1:1/0", timeout=0.2) as unreachable:
        leases = StreamLeases(unreachable, timeout=0.2)
        for _ in range(3):
            token = await leases.acquire("ada", 1)
            assert token is not None
            await leases.release(token)
