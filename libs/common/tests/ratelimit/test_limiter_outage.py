"""The limiter with a Redis that answers, freezes, or disconnects; a fake server, so that every call can be counted."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry

from parley.ids import new_id
from parley.ratelimit.limiter import Decision, Limit, Limiter, open_limiter
from parley.storage.redis import open_redis
from parley_testing import eventually
from parley_testing.fakes.redis_server import FakeRedisServer, Reply, fake_redis_server
from parley_testing.telemetry.captured_logs import captured_logs


def allow_everything(command: list[bytes]) -> Reply:
    """Answer the commands of a limiter; every check with one limit is allowed and leaves 3 units."""
    match command[0]:
        case b"SCRIPT":
            return b"0" * 40
        case b"EVALSHA":
            (checks,) = struct.unpack_from("<d", command[-1])
            return [1, 1_000_000, *[0, 0, 3, 0] * int(checks)]
        case _:
            return 1


@contextlib.asynccontextmanager
async def limiter_at(
    server: FakeRedisServer, *, timeout: float = 30, registry: CollectorRegistry | None = None
) -> AsyncIterator[Limiter]:
    async with (
        open_redis(server.url, timeout=30) as redis,
        open_limiter(
            redis, service="test", registry=registry or CollectorRegistry(), timeout=timeout, replicas=2
        ) as limiter,
    ):
        yield limiter


def limit(burst: int = 10) -> Limit:
    return Limit("user", str(new_id()), count=1, period=3600, burst=burst)


async def check_many(limiter: Limiter, some: Limit, count: int) -> list[Decision]:
    return await asyncio.gather(*(limiter.check([some]) for _ in range(count)))


async def test_a_redis_that_fails_once_while_the_process_starts_is_no_outage() -> None:
    failing = [True]

    def answer(command: list[bytes]) -> Reply:
        return Exception("LOADING") if failing and failing.pop() else allow_everything(command)

    with captured_logs() as logs:
        async with fake_redis_server(answer) as server, limiter_at(server) as limiter:
            await eventually(lambda: server.count(b"ZCARD") >= 2)
            assert limiter.exact
    # Services of other tests may log in this process meanwhile.
    assert "rate_limits_local" not in [line["event"] for line in logs]


async def test_concurrent_checks_share_redis_calls() -> None:
    async with fake_redis_server(allow_everything) as server, limiter_at(server) as limiter:
        decisions = await check_many(limiter, limit(), 100)
        assert all(d.allowed and d.exact and d.states[0].remaining == 3 for d in decisions)
        assert server.count(b"EVALSHA") == 1


async def test_a_frozen_redis_costs_one_timeout_and_later_checks_do_not_call_it() -> None:
    async with fake_redis_server(allow_everything) as server, limiter_at(server, timeout=0.1) as limiter:
        await limiter.check([limit()])
        with server.frozen():
            assert not (await limiter.check([limit()])).exact
            called = server.count(b"EVALSHA")
            decisions = await check_many(limiter, limit(), 50)
            assert not any(d.exact for d in decisions)
            assert server.count(b"EVALSHA") == called


async def test_without_redis_a_replica_allows_its_share_until_redis_answers_again() -> None:
    registry = CollectorRegistry()
    async with (
        fake_redis_server(allow_everything) as server,
        limiter_at(server, timeout=0.1, registry=registry) as limiter,
    ):
        with server.frozen():
            decisions = await check_many(limiter, limit(burst=10), 20)
            assert sum(d.allowed for d in decisions) == 5
            assert registry.get_sample_value("test_ratelimit_local") == 1
        await eventually(lambda: limiter.exact, within=20)
        assert (await limiter.check([limit()])).exact
    labels = {"policy": "user", "decision": "admitted_local"}
    assert registry.get_sample_value("test_ratelimit_decisions_total", labels) == 5


async def test_checks_on_a_broken_connection_are_decided_locally() -> None:
    async with fake_redis_server(allow_everything) as server, limiter_at(server) as limiter:
        await limiter.check([limit()])
        with server.frozen():
            waiting = asyncio.create_task(limiter.check([limit()]))
            await eventually(lambda: server.count(b"EVALSHA") == 2)
            server.disconnect_clients()
            assert (await waiting).allowed


async def test_a_limiter_joins_and_leaves_the_replica_group() -> None:
    async with fake_redis_server(allow_everything) as server:
        async with limiter_at(server):
            await eventually(lambda: server.count(b"ZADD"))
        assert server.count(b"ZREM") == 1


async def test_a_check_is_decided_locally_when_its_redis_call_fails_in_an_unknown_way() -> None:
    def answer(command: list[bytes]) -> Reply:
        return [1] if command[0] == b"EVALSHA" else allow_everything(command)  # not the reply of the script

    async with fake_redis_server(answer) as server, limiter_at(server) as limiter:
        with captured_logs() as logs:
            decision = await limiter.check([limit()])
        assert decision.allowed
        assert not decision.exact
        assert "rate_limit_check_failed" in {line["event"] for line in logs}


async def test_idle_connections_that_were_reset_change_no_decision() -> None:
    async with fake_redis_server(allow_everything) as server, limiter_at(server) as limiter:
        await limiter.check([limit()])
        server.reset_clients()
        for _ in range(10):
            await asyncio.sleep(0)
        assert (await limiter.check([limit()])).exact
