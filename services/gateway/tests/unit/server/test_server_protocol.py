"""Server protocol: deadlines, limits of an address, and apps that fail."""

import asyncio
import contextlib
import time

import pytest

from gateway.server.connection_rate import CONNECTION_BURST, ConnectionRate
from gateway_testing.echo_server import serve
from parley_testing import eventually


async def test_only_connections_over_their_deadline_are_closed() -> None:
    async with serve(header_timeout=10) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        while not (open_connections := list(server.connections.open)) or not open_connections[0].head_bytes:
            await asyncio.sleep(0)
        (connection,) = open_connections
        connection.check_deadlines(connection.deadlines.at - 0.1)
        assert not connection.transport.is_closing()
        connection.check_deadlines(connection.deadlines.at + 0.1)
        assert connection.transport.is_closing()
        assert await reader.read() == b""
        writer.close()


async def test_requests_that_cannot_be_read_count_on_the_address_until_it_is_over_its_limit() -> None:
    async with serve() as server:
        server.refusals.limit = 2
        bad = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.7\r\nHost: b\r\n\r\n"
        statuses = [(await server.send_bytes(bad)).split()[1] for _ in range(3)]
        assert statuses == [b"400", b"400", b"429"]
        assert server.refusals.counted == [("127.0.0.1", "198.51.100.7")] * 3


async def test_new_connections_of_an_address_are_limited_and_refused_ones_get_no_answer() -> None:
    async with serve() as server:
        request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        now = time.monotonic()
        server.connections.limits._rate = ConnectionRate(clock=lambda: now)  # a slow machine admits another one
        for _ in range(CONNECTION_BURST):
            server.connections.limits.too_frequent("127.0.0.2")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=("127.0.0.2", 0))
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            assert await reader.read() == b""
        writer.close()
        assert (await server.send_bytes(request)).startswith(b"HTTP/1.1 200")
        assert not server.connections.open


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/cancelled", "/silent"])
async def test_an_app_that_ends_without_a_response_is_answered_by_a_problem(path: str, method: str) -> None:
    async with serve() as server:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: r1\r\n\r\n"
        response = await server.send_bytes(head.encode())
        head, _, body = response.decode().partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 500 ")
        assert {"content-type: application/problem+json", "x-request-id: r1"} <= set(head.split("\r\n"))
        assert ('"code":"internal_error"' in body) == (method == "GET")


async def test_a_response_goes_on_without_an_error_after_the_connection_sent_what_cannot_be_read() -> None:
    async with serve() as server:
        server.app.gate.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.closing(writer):
            writer.write(b"GET /parts HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await eventually(lambda: server.app.parts_sent)
            writer.write(b"rubbish\r\n\r\n")
            async with asyncio.timeout(20):
                await reader.read()
            server.app.gate.set()
            await eventually(lambda: server.app.parts_sent == 2)
