"""Server protocol: framing rules, limits, deadlines and pipelining, with a minimal app over real sockets."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from gateway.http import Receive, Send
from gateway.server.connection_rate import CONNECTION_BURST
from gateway.server.connections import ClientConnections
from gateway.server.protocol import ServerProtocol
from gateway.settings import GatewaySettings
from parley import errors
from parley.config.settings import load
from parley.errors import ParleyError
from parley.web.http_protocol import MAX_WAITING_REQUESTS
from parley.web.tcp_state import has_left
from parley_testing import eventually

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class EchoApp:
    """Responds with the path and the body of each request, and records the requests."""

    paths: list[str] = field(default_factory=list)
    headers: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    parts_sent: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        self.headers.append(scope["headers"])
        if scope["path"] == "/cancelled":
            raise asyncio.CancelledError
        if scope["path"] == "/silent":
            return
        if scope["path"] == "/parts":
            await self._send_parts(send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.waiting += 1
        await self.gate.wait()
        content = scope["path"].encode() + b" " + body
        length = (b"content-length", b"%d" % len(content))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": content})

    async def _send_parts(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2):
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
            self.parts_sent += 1
            await self.gate.wait()


@dataclass
class RefusalCounter:
    """Records the refused requests, and refuses those that follow ``limit`` of them."""

    limit: int = 1000
    counted: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, peer: str, forwarded_for: str) -> ParleyError | None:
        self.counted.append((peer, forwarded_for))
        return errors.RateLimited("Too many.") if len(self.counted) > self.limit else None


@dataclass
class EchoServer:
    """The app behind the gateway's protocol."""

    app: EchoApp
    connections: ClientConnections
    refusals: RefusalCounter
    port: int

    async def send_bytes(self, data: bytes, *, end: bool = False) -> bytes:
        """Send bytes and return everything until the server closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            if end:
                writer.write_eof()
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serve(**overrides: object) -> AsyncIterator[EchoServer]:
    settings = load(GatewaySettings, redis_url="redis://localhost/0", **overrides)
    app, refusals = EchoApp(), RefusalCounter()
    connections = ClientConnections(settings, str, refusals)
    config = uvicorn.Config(  # uvicorn's annotation allows only classes
        app,
        http=connections.protocol,  # type: ignore[arg-type]
        proxy_headers=False,
        ws="none",
        lifespan="off",
        log_config=None,
    )
    config.load()
    state = uvicorn.server.ServerState()
    loop = asyncio.get_running_loop()

    def protocol() -> ServerProtocol:
        return connections.protocol(config, state, {}, loop)

    async with await loop.create_server(protocol, "127.0.0.1", 0) as server:
        yield EchoServer(app, connections, refusals, server.sockets[0].getsockname()[1])
        for connection in list(connections.open):
            connection.transport.abort()


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[EchoServer]:
    async with serve() as running:
        yield running


def post(*fields: bytes, body: bytes = b"", version: bytes = b"1.1", path: bytes = b"/body") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST %b HTTP/%b\r\n%b\r\n%b" % (path, version, lines, body)


VECTORS = {
    "length and chunked": post(b"Host: a", b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked and length": post(b"Host: a", b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
    "two equal lengths": post(b"Host: a", b"Content-Length: 2", b"Content-Length: 2", body=b"{}"),
    "two lengths in one": post(b"Host: a", b"Content-Length: 2, 2", body=b"{}"),
    "two different lengths": post(b"Host: a", b"Content-Length: 2", b"Content-Length: 9", body=b"{}"),
    "signed length": post(b"Host: a", b"Content-Length: +2", body=b"{}"),
    "negative length": post(b"Host: a", b"Content-Length: -2", body=b"{}"),
    "hexadecimal length": post(b"Host: a", b"Content-Length: 0x2", body=b"{}"),
    "empty length": post(b"Host: a", b"Content-Length: ", body=b"{}"),
    "huge length": post(b"Host: a", b"Content-Length: 99999999999999999999", body=b"{}"),
    "unknown coding": post(b"Host: a", b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked then identity": post(b"Host: a", b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "gzip then chunked": post(b"Host: a", b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunked twice": post(b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "space before the colon": post(b"Host: a", b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    "chunked by HTTP/1.0": post(b"Host: a", b"Transfer-Encoding: chunked", version=b"1.0", body=b"0\r\n\r\n"),
    "quoted chunked": post(b"Host: a", b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    "chunk ended by LF": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"2\n{}\r\n0\r\n\r\n"),
    "chunk with a bad end": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"2\r\n{}XX0\r\n\r\n"),
    "LF in an extension": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"2;a=\nb\r\n{}\r\n0\r\n\r\n"),
    "hexadecimal prefix": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"0x2\r\n{}\r\n0\r\n\r\n"),
    "signed chunk": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"+2\r\n{}\r\n0\r\n\r\n"),
    "negative chunk": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"-2\r\n{}\r\n0\r\n\r\n"),
    "overflowing chunk": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    "bare LF": b"POST /body HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}",
    "bare CR in a value": post(b"Host: a", b"X-A: b\rContent-Length: 2", body=b"{}"),
    "folded field": post(b"Host: a", b"X-A: b\r\n c", b"Content-Length: 2", body=b"{}"),
    "NUL in a value": post(b"Host: a", b"X-A: b\x00c", b"Content-Length: 2", body=b"{}"),
    "NUL in a name": post(b"Host: a", b"X\x00A: b", b"Content-Length: 2", body=b"{}"),
    "empty name": post(b"Host: a", b": b", b"Content-Length: 2", body=b"{}"),
    "field without a colon": post(b"Host: a", b"Rubbish", b"Content-Length: 2", body=b"{}"),
    "space before a field": post(b" Host: a", b"Content-Length: 2", body=b"{}"),
    "no Host": post(b"Content-Length: 2", body=b"{}"),
    "two Hosts": post(b"Host: a", b"Host: b", b"Content-Length: 2", body=b"{}"),
    "Host with a path": post(b"Host: a/b", b"Content-Length: 2", body=b"{}"),
    "Host with a space": post(b"Host: a b", b"Content-Length: 2", body=b"{}"),
    "HTTP/1.2": post(b"Host: a", b"Content-Length: 2", version=b"1.2", body=b"{}"),
    "HTTP/2.0 by a request line of HTTP/1": post(b"Host: a", b"Content-Length: 2", version=b"2.0", body=b"{}"),
    "HTTP/0.9": b"GET /smuggled\r\n\r\n",
    "raw byte in the path": post(b"Host: a", b"Content-Length: 2", path=b"/\x80body", body=b"{}"),
    "upgrade to HTTP/2": post(
        b"Host: a",
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AA",
        b"Content-Length: 2",
        body=b"{}",
    ),
    "CONNECT": b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", VECTORS)
async def test_ambiguous_requests_are_rejected_and_the_data_after_them_is_ignored(
    server: EchoServer, name: str
) -> None:
    before, counted = len(server.app.paths), len(server.refusals.counted)
    response = await server.send_bytes(VECTORS[name] + SMUGGLED)
    assert response.startswith(b"HTTP/1.1 4"), response
    assert response.count(b"HTTP/1.1 ") == 1
    assert b"application/problem+json" in response
    assert len(server.refusals.counted) == counted + 1
    assert "/smuggled" not in server.app.paths[before:]


async def test_a_plain_request_is_accepted(server: EchoServer) -> None:
    response = await server.send_bytes(post(b"Host: a", b"Content-Length: 2", b"Connection: close", body=b"{}"))
    assert response.startswith(b"HTTP/1.1 200")
    assert response.endswith(b"/body {}")


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


async def test_trailers_are_ignored(server: EchoServer) -> None:
    body = b"2\r\n{}\r\n0\r\nX-User-Id: root\r\n\r\n"
    request = post(b"Host: a", b"Transfer-Encoding: chunked", b"Connection: close", body=body)
    assert (await server.send_bytes(request)).endswith(b"/body {}")
    assert b"x-user-id" not in dict(server.app.headers[-1])


@pytest.mark.parametrize("count", [200, 3000])
async def test_too_many_header_fields_are_rejected(server: EchoServer, count: int) -> None:
    fields = b"".join(b"X-%d: a\r\n" % number for number in range(count))
    assert (await server.send_bytes(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields)).startswith(b"HTTP/1.1 431")


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
        for _ in range(CONNECTION_BURST):
            server.connections.limits.too_frequent("127.0.0.2")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=("127.0.0.2", 0))
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            assert await reader.read() == b""
        writer.close()
        assert (await server.send_bytes(request)).startswith(b"HTTP/1.1 200")
        assert not server.connections.open


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
