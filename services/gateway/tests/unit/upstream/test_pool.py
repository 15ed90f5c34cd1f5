"""Connection pool: choice of an endpoint, skipped endpoints, and connections that end."""

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import AsyncIterator

import pytest
import uvloop

from gateway.errors import UpstreamUnavailable
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.endpoint import FAILURES_TO_EJECT, Endpoint
from gateway.upstream.failures import ConnectFailed, ConnectionBroken, ResponseTimeout
from gateway.upstream.pool import Pool, PoolLimits
from gateway_testing.fakes import VanishedPeer
from parley_testing.http.scripted_server import ScriptedServer, respond, scripted_server

REFUSED = ConnectFailed(refused=True)


def pool_of(*endpoints: Endpoint) -> Pool:
    return Pool("chat", endpoints, PoolLimits(connect_timeout=20))


def endpoint_of(upstream: ScriptedServer) -> Endpoint:
    return Endpoint("127.0.0.1", upstream.port)


@contextlib.asynccontextmanager
async def dead() -> AsyncIterator[Endpoint]:
    """An endpoint that refuses connections, on a port that stays reserved."""
    async with scripted_server() as upstream:
        await upstream.stop()
        yield endpoint_of(upstream)


async def ask(pool: Pool, *, method: str = "GET") -> tuple[Endpoint, UpstreamConnection]:
    """Send a request and read the response."""
    endpoint, connection = await pool.acquire(stream=False)
    connection.start_request(method, f"{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n".encode(), timeout=5)
    await connection.read_head()
    while await connection.read_body(idle_timeout=5):
        pass
    pool.record_response(endpoint, connection)
    pool.release(endpoint, connection)
    return endpoint, connection


def test_the_less_loaded_of_two_endpoints_is_chosen() -> None:
    one, two = (Endpoint("localhost", port) for port in (1, 2))
    pool = Pool("chat", [one, two], PoolLimits())
    one.active = 5
    assert {pool.choose() for _ in range(20)} == {two}


def test_a_busy_gateway_does_not_take_a_reachable_endpoint_for_unreachable() -> None:
    async def connect_while_busy() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            pool = Pool("chat", [Endpoint("127.0.0.1", listener.getsockname()[1])], PoolLimits(connect_timeout=0.01))
            loop = asyncio.get_running_loop()
            loop.call_soon(time.sleep, 0.05)  # other work keeps the loop while the kernel connects
            endpoint, connection = await pool.acquire(stream=False)
            pool.release(endpoint, connection)
            pool.close()

    uvloop.run(connect_while_busy())


@pytest.mark.parametrize("requests", [1, 200])
async def test_a_refused_connection_fails_no_request_and_costs_no_retry(requests: int) -> None:
    async with dead() as gone, scripted_server() as upstream:
        pool = pool_of(gone, lives := endpoint_of(upstream))
        found = await asyncio.gather(*(ask(pool) for _ in range(requests)))
        assert {endpoint for endpoint, _ in found} == {lives}
        assert pool.retries.take(), "the retry budget is for requests that were sent"
        pool.close()


async def test_endpoints_that_refuse_connections_are_skipped() -> None:
    async with dead() as one, dead() as two, dead() as three, scripted_server() as upstream:
        for _ in range(20):
            pool = pool_of(one, two, three, lives := endpoint_of(upstream))
            assert (await ask(pool))[0] is lives
            pool.close()


async def test_when_all_endpoints_refuse_the_request_fails_at_once() -> None:
    async with dead() as one, dead() as two:
        pool = pool_of(one, two)
        for _ in range(3):
            async with asyncio.timeout(10):
                with pytest.raises(ConnectFailed):
                    await pool.acquire(stream=False)
        assert (one.active, two.active) == (0, 0)


async def test_a_restarted_endpoint_is_tried_before_its_ejection_ends_when_the_other_dies() -> None:
    async with scripted_server() as one, scripted_server() as two:
        pool = pool_of(endpoint_of(one), endpoint_of(two))
        await one.stop()
        for _ in range(5):
            await ask(pool)
        await one.start()
        await two.stop()
        for _ in range(5):
            assert (await ask(pool))[0].port == one.port
        pool.close()


@pytest.mark.parametrize("back", [True, False])
async def test_a_retry_prefers_an_offline_endpoint_over_the_one_that_failed(back: bool) -> None:
    async with scripted_server() as one, scripted_server() as two:
        pool = pool_of(restarted := endpoint_of(one), broke := endpoint_of(two))
        pool.record_failure(restarted, REFUSED)
        if not back:
            await one.stop()
        found, _ = await pool.acquire(stream=False, avoid={broke.authority})
        assert found is (restarted if back else broke)
        pool.close()


async def test_a_successful_connect_ends_the_ejection_of_a_refusing_endpoint() -> None:
    async with scripted_server() as upstream:
        pool = pool_of(endpoint := endpoint_of(upstream), Endpoint("127.0.0.1", upstream.port))
        for each in pool.endpoints:
            each.record_failure(0.001, REFUSED)
        chosen, _ = await pool.acquire(stream=False)
        assert not chosen.probing
        assert chosen.ejected_until == 0.0
        assert endpoint.port == chosen.port
        pool.close()


async def test_a_failing_endpoint_stays_ejected_even_without_an_alternative() -> None:
    async with dead() as gone, scripted_server() as upstream:
        pool = pool_of(gone, suffers := endpoint_of(upstream))
        for _ in range(FAILURES_TO_EJECT):
            pool.record_failure(suffers, ResponseTimeout())
        with pytest.raises(ConnectFailed):
            await pool.acquire(stream=False)
        pool = pool_of(suffers)
        with pytest.raises(UpstreamUnavailable):
            await pool.acquire(stream=False)
        assert upstream.opened == 0


async def test_a_closed_connection_is_not_reused_even_before_the_event_loop_reports_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        pool = pool_of(endpoint := Endpoint(*server.getsockname()))
        _, connection = await pool.acquire(stream=False)
        other_side, _ = server.accept()
        connection.complete = connection._keep_alive = True
        pool.release(endpoint, connection)
        assert connection.is_open()
        other_side.close()
        assert not connection.closed
        assert not connection.is_open()
        assert await pool.acquire(stream=False) != (endpoint, connection)
        pool.close()


async def test_a_response_with_connection_close_sends_the_next_requests_elsewhere() -> None:
    async with scripted_server(respond(200, b"{}", ("connection", "close"))) as drains, scripted_server() as stays:
        pool = pool_of(one := endpoint_of(drains), two := endpoint_of(stays))
        two.active = 9
        assert (await ask(pool))[0] is one
        for _ in range(5):
            assert (await ask(pool))[0] is two
        two.record_failure(0.001, ConnectionBroken())
        await stays.stop()
        assert (await ask(pool))[0] is one, "a draining replica is better than none"
        pool.close()


async def test_idle_connections_of_a_draining_endpoint_are_closed() -> None:
    async with scripted_server() as upstream:
        pool = pool_of(endpoint := endpoint_of(upstream))
        both = [await pool.acquire(stream=False) for _ in range(2)]
        for _, connection in both:
            connection.start_request("GET", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", timeout=5)
            await connection.read_head()
            await connection.read_body(idle_timeout=5)
        pool.release(*both[0])
        pool.record_draining(endpoint)
        assert not endpoint.idle
        pool.release(*both[1])
        assert not endpoint.idle
        pool.close()


async def test_the_kernel_watches_connections_to_services() -> None:
    async with scripted_server() as upstream:
        _, connection = await ask(pool_of(endpoint_of(upstream)))
        assert connection._transport is not None
        opened = connection._transport.get_extra_info("socket")
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels report otherwise")
async def test_a_request_ends_when_its_host_has_vanished_before_it_acknowledged_the_request() -> None:
    endpoint = Endpoint("localhost", 1)
    connection = UpstreamConnection(lambda _connection: None)
    connection._transport = VanishedPeer()
    endpoint.connections.add(connection)
    pool = pool_of(endpoint)
    connection.start_request("POST", b"POST / HTTP/1.1\r\nhost: a\r\n\r\n", timeout=600)
    pool.enforce_deadlines()
    assert connection._failure is None, "the request has just begun"
    connection.began -= 11
    pool.enforce_deadlines()
    with pytest.raises(ConnectionBroken):
        await connection.read_head()
