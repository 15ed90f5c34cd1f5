"""Requests that offer a protocol which is not served: they are answered as if they did not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway_testing.echo_server import EchoServer, serve
from parley_testing import eventually

OFFER = (
    b"Connection: Upgrade, HTTP2-Settings\r\n%bHost: localhost\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17.0.15\r\n"
)
"""The headers of the first request of Java's HTTP client, with those of the body in between."""
GET = b"GET /first HTTP/1.1\r\n" + OFFER % b"" + b"\r\n"
POST = b"POST /first HTTP/1.1\r\n" + OFFER % b"Content-Length: 31\r\n" + b"\r\nGET / HTTP/1.1\r\nHost: body\r\n\r\n."
CHUNKED = (
    b"POST /first HTTP/1.1\r\n"
    + OFFER % b"Transfer-encoding: chunked\r\n"
    + b"\r\n1b\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n"
    b"4\r\n....\r\n0\r\n\r\n"
)
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
BODIES = {GET: b"", POST: b"GET / HTTP/1.1\r\nHost: body\r\n\r\n.", CHUNKED: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n...."}


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[EchoServer]:
    async with serve() as running:
        yield running


@pytest.mark.parametrize("request_bytes", BODIES, ids=["GET", "POST", "chunked"])
@pytest.mark.parametrize("packet", [100_000, 7, 1])
async def test_an_offer_of_http2_is_ignored_and_the_connection_is_kept(
    server: EchoServer, request_bytes: bytes, packet: int
) -> None:
    before, refused = len(server.app.paths), len(server.refusals.counted)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for start in range(0, len(request_bytes), packet):
        writer.write(request_bytes[start : start + packet])
        await asyncio.sleep(0)
    body = b"/first " + BODIES[request_bytes]
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(len(body)) == body
        writer.write(request_bytes + LAST)
        rest = await reader.read()
    writer.close()
    assert rest.count(b"HTTP/1.1 200") == 2
    assert body in rest
    assert server.app.paths[before:] == ["/first", "/first", "/last"]
    assert len(server.refusals.counted) == refused


async def test_the_app_sees_no_upgrade(server: EchoServer) -> None:
    await server.send_bytes(POST + LAST)
    assert b"upgrade" not in dict(server.app.headers[-2])


@pytest.mark.parametrize("offer", [b"TLS/1.2", b"h2c, websocket", b"IRC/6.9"])
async def test_every_other_protocol_is_ignored(server: EchoServer, offer: bytes) -> None:
    assert (await server.send_bytes(POST.replace(b"h2c", offer) + LAST)).count(b"HTTP/1.1 200") == 2


async def test_an_offer_behind_an_open_request_waits_for_its_turn() -> None:
    async with serve() as server:
        server.app.gate.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /open HTTP/1.1\r\nHost: a\r\n\r\n")
        await eventually(lambda: server.app.waiting)
        writer.write(POST + LAST)
        await eventually(lambda: [each for each in server.connections.open if len(each.pipeline) == 2])
        assert server.app.paths == ["/open"]
        server.app.gate.set()
        async with asyncio.timeout(10):
            assert (await reader.read()).count(b"HTTP/1.1 200") == 3
        writer.close()


async def test_the_body_of_an_offer_is_awaited_only_on_request(server: EchoServer) -> None:
    head, _, body = POST.partition(b"\r\n\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head + b"\r\nExpect: 100-continue\r\nConnection: Upgrade, close\r\n\r\n")
    async with asyncio.timeout(10):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.read()).endswith(body)
    writer.close()
