"""Liveness checks: endpoints that leave requests unanswered, and what happens to these requests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway.errors import UpstreamTimeout, UpstreamUnavailable
from gateway.proxy.forwarding import ForwardedRequest
from gateway.request import Request
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.liveness import LivenessMonitor
from gateway.upstream.pool import Pool
from gateway_testing.fakes import make_request
from gateway_testing.upstreams import forward, hang, pool_of
from parley.process.sockets import PEER_TIMEOUT
from parley.process.tasks import background
from parley_testing import eventually
from parley_testing.http.scripted_server import respond, scripted_server

CHECK_TIMEOUT = 0.05


@contextlib.asynccontextmanager
async def unanswered(
    pool: Pool, request: Request, *, seconds: float = 0
) -> AsyncIterator["asyncio.Task[ForwardedRequest]"]:
    """A request that has waited for the first endpoint for some seconds."""
    first = pool.endpoints[0]
    forwarding = asyncio.create_task(forward(pool, request))
    await eventually(lambda: any(each.busy for each in first.connections))
    for connection in first.connections:
        connection.began -= seconds
    yield forwarding
    forwarding.cancel()
    await asyncio.gather(forwarding, return_exceptions=True)


async def check(pool: Pool) -> None:
    await LivenessMonitor(pool, check_timeout=CHECK_TIMEOUT).check(pool.endpoints[0])


async def test_a_read_leaves_a_frozen_replica_for_another_one() -> None:
    async with scripted_server() as frozen, scripted_server() as works, pool_of(frozen, works) as pool:
        frozen.freeze()
        request = make_request()
        async with (
            unanswered(pool, request, seconds=1) as forwarding,
            background("liveness", LivenessMonitor(pool, check_timeout=CHECK_TIMEOUT).run),
        ):
            assert (await forwarding).endpoint is pool.endpoints[1]
        assert request.attempts == 2
        assert pool.choose() is pool.endpoints[1], "although it has more open requests"


async def test_a_replica_that_resumes_is_used_again() -> None:
    async with scripted_server() as frozen, scripted_server() as works, pool_of(frozen, works) as pool:
        frozen.freeze()
        monitor = LivenessMonitor(pool, check_timeout=CHECK_TIMEOUT)
        async with unanswered(pool, make_request()) as forwarding:
            await monitor.check(pool.endpoints[0])
            await forwarding
        assert monitor.suspects() == [pool.endpoints[0]], "it is checked until it responds"
        frozen.resume()
        await LivenessMonitor(pool).check(pool.endpoints[0])
        assert monitor.suspects() == []
        assert pool.choose() is pool.endpoints[0]


async def test_a_slow_response_of_a_replica_that_returns_its_health_is_awaited() -> None:
    async with scripted_server(hang) as slow, scripted_server() as works, pool_of(slow, works) as pool:
        async with unanswered(pool, make_request(), seconds=20) as forwarding:
            await LivenessMonitor(pool).check(pool.endpoints[0])
            assert not pool.endpoints[0].frozen
            assert not forwarding.done()
        assert len(slow.journal) == 1
        assert works.journal == []


async def test_only_an_endpoint_with_a_request_that_waits_is_checked() -> None:
    async with scripted_server() as frozen, pool_of(frozen) as pool:
        frozen.freeze()
        monitor = LivenessMonitor(pool)
        assert monitor.suspects() == []
        async with unanswered(pool, make_request()):
            assert monitor.suspects() == []
            for connection in pool.endpoints[0].connections:
                connection.began -= 1
            assert monitor.suspects() == pool.endpoints


async def test_a_post_waits_for_a_frozen_replica_until_the_peer_timeout() -> None:
    async with scripted_server() as frozen, scripted_server() as works, pool_of(frozen, works) as pool:
        frozen.freeze()
        async with unanswered(pool, make_request(method="POST"), seconds=2) as forwarding:
            await check(pool)
            assert pool.endpoints[0].frozen
            assert not forwarding.done()
            for connection in pool.endpoints[0].connections:
                connection.began -= PEER_TIMEOUT.seconds
            await check(pool)
            with pytest.raises(UpstreamTimeout):
                await forwarding
        assert works.journal == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_takes_long_survives_a_pause_of_its_replica(method: str) -> None:
    async with scripted_server(hang) as slow, pool_of(slow) as pool:
        monitor = LivenessMonitor(pool)
        async with unanswered(pool, make_request(method=method), seconds=60) as forwarding:
            await monitor.check(pool.endpoints[0])
            slow.freeze()
            await monitor.check(pool.endpoints[0])
            assert not pool.endpoints[0].frozen
            assert not forwarding.done()


async def test_a_post_with_an_idempotency_key_leaves_a_frozen_replica() -> None:
    async with scripted_server() as frozen, scripted_server() as works, pool_of(frozen, works) as pool:
        frozen.freeze()
        async with unanswered(pool, make_request({"idempotency-key": "k"}, method="POST")) as forwarding:
            await check(pool)
            assert (await forwarding).endpoint is pool.endpoints[1]


async def test_without_retry_budget_reads_wait_for_a_frozen_replica() -> None:
    async with scripted_server() as frozen, scripted_server() as works, pool_of(frozen, works) as pool:
        frozen.freeze()
        while pool.retries.take():
            pass
        async with unanswered(pool, make_request(), seconds=2) as forwarding:
            await check(pool)
            assert pool.endpoints[0].frozen
            assert not forwarding.done()
        assert works.journal == []


async def test_the_only_replica_is_given_up_after_the_peer_timeout_and_then_refused_at_once() -> None:
    async with scripted_server() as frozen, pool_of(frozen) as pool:
        frozen.freeze()
        async with unanswered(pool, make_request(), seconds=PEER_TIMEOUT.seconds - 2) as forwarding:
            await check(pool)
            assert not forwarding.done(), "a short pause fails no request"
            for connection in pool.endpoints[0].connections:
                connection.began -= 3
            await check(pool)
            with pytest.raises(UpstreamUnavailable) as unavailable:
                await forwarding
        assert "Retry-After" in unavailable.value.headers
        with pytest.raises(UpstreamUnavailable):
            await forward(pool, make_request())


async def test_an_earlier_pause_of_the_only_replica_does_not_count_after_a_response() -> None:
    async with scripted_server(respond()) as only, pool_of(only) as pool:
        for _ in range(2):
            only.freeze()
            async with unanswered(pool, make_request(), seconds=PEER_TIMEOUT.seconds - 2) as forwarding:
                await check(pool)
                assert not pool.endpoints[0].frozen
                pool.endpoints[0].silent_since -= 60
                only.resume()
                await forwarding


async def test_a_host_without_a_route_is_skipped_as_a_silent_one_is() -> None:
    async with scripted_server() as works, pool_of(works) as pool:
        pool.endpoints.insert(0, Endpoint("224.0.0.1", 80))  # the kernel refuses to connect to a group of hosts
        await check(pool)
        assert pool.endpoints[0].frozen


async def test_a_replica_that_ended_is_not_frozen() -> None:
    async with scripted_server() as ended, scripted_server() as works, pool_of(ended, works) as pool:
        await ended.stop()
        await LivenessMonitor(pool).check(pool.endpoints[0])
        assert not pool.endpoints[0].frozen
