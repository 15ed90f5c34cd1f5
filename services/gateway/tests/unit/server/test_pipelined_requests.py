"""Requests that follow others on a connection: order, bodies, number, and deadlines."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gateway_testing.echo_server import EchoServer, post, serve
from parley.web.http_protocol import MAX_WAITING_REQUESTS
from parley.web.tcp_state import has_left
from parley_testing import eventually


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[EchoServer]:
    async with serve() as running:
        yield running


async def test_pipelined_requests_are_answered_in_order(server: EchoServer) -> None:
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(5))
    last = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    response = await server.send_bytes(requests + last)
    assert response.count(b"HTTP/1.1 200") == 6
    assert server.app.paths[-6:] == ["/0", "/1", "/2", "/3", "/4", "/last"]


async def test_pipelined_requests_have_their_own_bodies(server: EchoServer) -> None:
    first = post(b"Host: a", b"Content-Length: 5", body=b"first")
    second = post(b"Host: a", b"Transfer-Encoding: chunked", body=b"6\r\nsecond\r\n0\r\n\r\n")
    last = post(b"Host: a", b"Content-Length: 4", b"Connection: close", body=b"last")
    response = await server.send_bytes(first + second + last)
    assert response.count(b"HTTP/1.1 200") == 3
    assert response.index(b"/body first") < response.index(b"/body second") < response.index(b"/body last")


async def test_at_most_16_pipelined_requests_wait(server: EchoServer) -> None:
    unfinished = post(b"Host: a", b"Content-Length: 100000") + b"x" * 40_000
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(unfinished + b"x" * 60_000 + head * 5000 + head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    most = 0
    reading = asyncio.create_task(reader.read())
    while not reading.done():
        most = max([most, *(len(connection.pipeline) for connection in server.connections.open)])
        await asyncio.sleep(0)
    assert (await reading).count(b"HTTP/1.1 200") == 5002
    assert 1 <= most <= MAX_WAITING_REQUESTS
    writer.close()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_client_that_leaves_while_its_requests_wait_is_noticed(reset: bool) -> None:
    async with serve() as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        server.app.gate.clear()
        writer.write(head * 40)
        await eventually(lambda: [each for each in server.connections.open if each.flow.read_paused])
        (connection,) = server.connections.open
        connection.check_deadlines(0)
        assert not connection.transport.is_closing()
        if reset:
            writer.transport.abort()
        else:
            writer.close()
        await eventually(lambda: has_left(connection.transport.get_extra_info("socket")))
        connection.check_deadlines(0)
        await eventually(lambda: not server.connections.open)
        server.app.gate.set()


SECOND = [b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n", post(b"Host: a", b"Content-Length: 2", body=b"{}")]


@pytest.mark.parametrize("request_bytes", SECOND, ids=["without a body", "with a body"])
async def test_a_later_request_of_a_connection_may_take_longer_than_the_idle_timeout(request_bytes: bytes) -> None:
    async with serve() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request_bytes)
        await reader.readuntil(b"\r\n\r\n")
        server.app.gate.clear()
        writer.write(request_bytes)
        await eventually(lambda: len(server.app.paths) == 2)
        (connection,) = server.connections.open
        connection.check_deadlines(time.monotonic() + 1000)
        assert not connection.transport.is_closing()
        server.app.gate.set()
        await reader.readuntil(b"\r\n\r\n")
        writer.close()


@pytest.mark.parametrize("request_bytes", SECOND, ids=["without a body", "with a body"])
async def test_the_head_of_a_later_request_has_the_same_deadline(request_bytes: bytes) -> None:
    async with serve(header_timeout=10) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request_bytes)
        await reader.readuntil(b"\r\n\r\n")
        (connection,) = server.connections.open
        connection.check_deadlines(time.monotonic() + 50)
        assert not connection.transport.is_closing()
        writer.write(b"GET / HTTP/1.1\r\nHost")
        await eventually(lambda: connection.head_bytes > 1)
        connection.check_deadlines(time.monotonic() + 11)
        assert connection.transport.is_closing()
        writer.close()


async def test_a_head_that_is_not_read_because_earlier_requests_wait_is_not_late() -> None:
    async with serve(header_timeout=10) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        server.app.gate.clear()
        writer.write(SECOND[0])
        await eventually(lambda: server.app.waiting)
        writer.write(SECOND[0] + b"GET /last HTTP/1.1\r\nHost")
        await eventually(lambda: [each for each in server.connections.open if each.head_bytes and each.pipeline])
        (connection,) = server.connections.open
        assert connection.flow.read_paused
        connection.check_deadlines(time.monotonic() + 1000)
        assert not connection.transport.is_closing()
        server.app.gate.set()
        await reader.readuntil(b"\r\n\r\n")
        await eventually(lambda: len(server.app.paths) == 2 and not connection.flow.read_paused)
        connection.check_deadlines(time.monotonic() + 2000)
        assert connection.transport.is_closing()
        writer.close()
