"""The limiter with a real Redis, compared with a model of the algorithm."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from parley.ids import new_id
from parley.ratelimit.limiter import Decision, Limit, Limiter, TokenSession, open_limiter
from parley.ratelimit.script import REVOCATIONS_MARKER
from parley.storage.redis import RedisClient, open_redis
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends

pytestmark = pytest.mark.integration


@contextlib.asynccontextmanager
async def limiter_at(url: str, timeout: float = 2) -> AsyncIterator[Limiter]:
    async with (
        open_redis(url, timeout=20) as redis,
        open_limiter(redis, service="test", registry=CollectorRegistry(), timeout=timeout) as limiter,
    ):
        yield limiter


@pytest.fixture(scope="session")
async def redis(backends: SharedBackends) -> AsyncIterator[RedisClient]:
    async with open_redis(await backends.redis_url(), timeout=20) as client:
        yield client


@pytest.fixture
async def limiter(backends: SharedBackends) -> AsyncIterator[Limiter]:
    async with limiter_at(await backends.redis_url()) as found:
        yield found


def limit(count: int = 7, period: int = 60, burst: int = 5, policy: str = "user") -> Limit:
    return Limit(policy, str(new_id()), count, period, burst)


def admissible(limit: Limit, times: list[int]) -> list[bool]:
    """Decide by the definition: at most burst + floor(rate * t) units in any interval t."""
    count, period, burst = limit.numbers
    debt, last, answers = 0, 0, []
    for now in times:
        debt = max(0, debt - (now - last) * count)
        answers.append(debt + period <= burst * period)
        debt, last = debt + period * answers[-1], now
    return answers


async def test_the_burst_is_admitted_and_no_more(limiter: Limiter) -> None:
    slow = limit(count=1, period=3600, burst=5)
    decisions = await asyncio.gather(*(limiter.check([slow]) for _ in range(20)))
    assert [d.allowed for d in decisions] == [True] * 5 + [False] * 15
    assert [d.states[0].remaining for d in decisions[:5]] == [4, 3, 2, 1, 0]


async def test_a_refusal_names_the_wait_after_which_it_succeeds(limiter: Limiter) -> None:
    quick = limit(count=20, period=1, burst=2)
    *_, refused = await asyncio.gather(*(limiter.check([quick]) for _ in range(3)))  # one call, so one Redis time
    assert refused.refused is quick
    assert 0 < refused.retry_after <= 0.05
    await asyncio.sleep(refused.retry_after)
    assert (await limiter.check([quick])).allowed


async def test_nothing_is_consumed_when_one_of_several_limits_refuses(limiter: Limiter) -> None:
    wide, narrow = limit(burst=5, count=1, period=3600), limit(burst=1, count=1, period=3600, policy="address")
    assert (await limiter.check([wide, narrow])).allowed
    refused = await limiter.check([wide, narrow])
    assert refused.refused is narrow
    assert [s.remaining for s in refused.states] == [4, 0]


async def test_costs_are_charged_returned_and_bounded_by_the_burst(limiter: Limiter) -> None:
    tokens = limit(count=1, period=3600, burst=100)
    assert (await limiter.check([tokens], cost=60)).states[0].remaining == 40
    assert not (await limiter.check([tokens], cost=41)).allowed
    assert (await limiter.charge([tokens], -30)).states[0].remaining >= 69
    assert (await limiter.charge([tokens], 500)).states[0].remaining == 0
    assert not (await limiter.check([tokens], cost=1)).allowed


async def test_concurrent_decisions_of_four_limiters_equal_the_model(backends: SharedBackends) -> None:
    shared = limit(count=97, period=1, burst=13)
    async with contextlib.AsyncExitStack() as stack:
        url = await backends.redis_url()
        limiters = [await stack.enter_async_context(limiter_at(url)) for _ in range(4)]
        found = [d for part in await asyncio.gather(*(_hammer(each, shared) for each in limiters)) for d in part]
    ordered = sorted(found, key=lambda d: d.at or 0)
    assert [d.allowed for d in ordered] == admissible(shared, [d.at or 0 for d in ordered])
    assert any(d.allowed for d in ordered[500:])


async def _hammer(limiter: Limiter, shared: Limit) -> list[Decision]:
    decisions: list[Decision] = []

    async def client() -> None:
        for _ in range(10):
            decisions.append(await limiter.check([shared]))
            await asyncio.sleep(0.01)

    await asyncio.gather(*(client() for _ in range(50)))
    return decisions


async def test_a_revoked_session_is_reported_in_the_same_call_and_consumes_nothing(
    limiter: Limiter, redis: RedisClient
) -> None:
    session, some = TokenSession(str(new_id()), str(new_id()), issued_at=1000), limit(count=1, period=3600)
    await redis.set(session.keys[0], 1, ex=60)
    revoked = await limiter.check([some], session=session)
    assert (revoked.allowed, revoked.revoked) == (False, True)
    assert (await limiter.check([some])).states[0].remaining == 4


async def test_a_user_revocation_covers_tokens_issued_until_then_and_none_issued_later(
    limiter: Limiter, redis: RedisClient
) -> None:
    user = str(new_id())
    await redis.set(f"parley:revoked-user:{user}", 1000, ex=60)
    answers = [await limiter.check([], session=TokenSession("s", user, issued)) for issued in (999, 1000, 1001)]
    assert [a.revoked for a in answers] == [True, True, False]


async def test_revocations_are_known_only_while_the_marker_exists(limiter: Limiter, redis: RedisClient) -> None:
    await redis.delete(REVOCATIONS_MARKER)
    assert not (await limiter.check([limit()])).revocations_known
    await redis.set(REVOCATIONS_MARKER, 1)
    assert (await limiter.check([limit()])).revocations_known
    await redis.delete(REVOCATIONS_MARKER)


async def test_a_flushed_script_is_loaded_again(limiter: Limiter, redis: RedisClient) -> None:
    await limiter.check([limit()])
    await redis.script_flush()
    assert (await limiter.check([limit()])).exact


async def test_empty_buckets_expire(limiter: Limiter, redis: RedisClient) -> None:
    quick = limit(count=100, period=1, burst=5)
    await limiter.check([quick])
    await eventually(lambda: _absent(redis, quick.key))


async def _absent(redis: RedisClient, key: str) -> bool:
    return not await redis.exists(key)


async def test_a_limiter_is_local_while_redis_is_stopped_and_exact_after_its_restart(
    tmp_path: Path,
) -> None:
    server = EmbeddedValkey(tmp_path / "valkey", durable=False)
    await server.start()
    try:
        async with limiter_at(server.url) as one, limiter_at(server.url) as two:
            await eventually(lambda: (one.fallback.replicas, two.fallback.replicas) == (2, 2))
            some = limit(count=1, period=3600, burst=10)
            await server.stop()
            decisions = [await one.check([some]) for _ in range(20)]
            assert sum(d.allowed for d in decisions) == 5
            assert not one.exact
            await server.start()
            await eventually(lambda: one.exact)
            assert (await one.check([some])).exact
    finally:
        await server.stop()
