"""Bounded pipelining: how much of a client's data becomes requests before earlier ones are answered."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from parley.config.settings import ServiceSettings, load
from parley.web.http_protocol import MAX_PIECES, MAX_WAITING_REQUESTS, BoundedHttpProtocol
from parley.web.server import make_server
from parley.web.service_protocol import ServiceHttpProtocol
from parley_testing import eventually

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


@dataclass
class GatedServer:
    """An app that responds when its gate is open, behind the protocol on a real socket."""

    port: int = 0
    connections: list[BoundedHttpProtocol] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await self.gate.wait()
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    def waiting(self) -> int:
        return max((len(connection.pipeline) for connection in self.connections), default=0)


@contextlib.asynccontextmanager
async def gated_server() -> AsyncIterator[GatedServer]:
    app, loop = GatedServer(), asyncio.get_running_loop()
    config = make_server(app, load(ServiceSettings, admin_port=0)).config
    config.load()
    state = ServerState()

    def protocol() -> BoundedHttpProtocol:
        app.connections.append(ServiceHttpProtocol(config, state, {}, loop))
        return app.connections[-1]

    async with await loop.create_server(protocol, "127.0.0.1", 0) as server:
        app.port = server.sockets[0].getsockname()[1]
        yield app
        for connection in app.connections:
            connection.transport.abort()


@contextlib.asynccontextmanager
async def client(server: GatedServer, *parts: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """Send the parts, each as its own packet as far as the kernel allows."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0)
    try:
        yield reader
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def answers(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(20):
        return (await reader.read()).count(b"HTTP/1.1 204")


@pytest.mark.parametrize("count", [MAX_WAITING_REQUESTS, 5000])
async def test_a_bounded_number_of_requests_waits_and_all_are_answered(count: int) -> None:
    async with gated_server() as server, client(server, REQUEST * count + LAST) as reader:
        await eventually(lambda: server.waiting() == MAX_WAITING_REQUESTS)
        server.gate.set()
        assert await answers(reader) == count + 1


async def test_heads_that_are_split_between_packets_count_one_by_one() -> None:
    stream = REQUEST * 100 + LAST
    pieces = [stream[start : start + 7] for start in range(0, len(stream), 7)]
    async with gated_server() as server, client(server, *pieces) as reader:
        assert await eventually(server.waiting) <= MAX_WAITING_REQUESTS
        server.gate.set()
        assert await answers(reader) == 101
        assert max(len(body) for body in server.bodies) == 0


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"content-length: %d" % (4 * 10_000), b"\r\n\r\n" * 10_000),
        (b"transfer-encoding: chunked", b"9c40\r\n" + b"\r\n\r\n" * 10_000 + b"\r\n0\r\n\r\n"),
        (b"transfer-encoding: chunked", b"4\r\n\r\n\r\n\r\n" * 10_000 + b"0\r\n\r\n"),
    ],
)
async def test_bodies_that_look_like_heads_arrive_unchanged(head: bytes, body: bytes) -> None:
    post = b"POST / HTTP/1.1\r\nhost: a\r\n%b\r\n\r\n%b" % (head, body)
    async with gated_server() as server, client(server, post * 2 + LAST) as reader:
        server.gate.set()
        assert await answers(reader) == 3
        assert server.bodies == [b"\r\n\r\n" * 10_000] * 2 + [b""]


async def test_other_connections_have_their_turn_while_one_sends_many_pieces() -> None:
    async with gated_server() as server, client(server, b"\r\n\r\n" * (MAX_PIECES * 20)):
        await eventually(lambda: server.connections)
        turns = 0
        while server.connections[0]._unparsed or not turns:
            turns += 1
            await asyncio.sleep(0)
        assert turns > 1


async def test_requests_that_wait_are_freed_when_the_client_leaves() -> None:
    async with gated_server() as server:
        async with client(server, REQUEST * 5000):
            await eventually(lambda: server.waiting() == MAX_WAITING_REQUESTS)
        server.gate.set()
        await eventually(lambda: server.connections[0].transport.is_closing() and server.waiting() == 0)
        assert not server.connections[0]._unparsed


@pytest.mark.parametrize("version", [b"2.0", b"0.9"])
async def test_other_versions_in_the_request_line_are_rejected(version: bytes) -> None:
    async with gated_server() as server, client(server, b"GET / HTTP/%b\r\nhost: a\r\n\r\n" % version) as reader:
        server.gate.set()
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        assert server.bodies == []


async def test_an_offer_of_another_protocol_is_ignored_with_and_without_a_body() -> None:
    offer = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    with_body = offer.replace(b"\r\n\r\n", b"\r\ncontent-length: %d\r\n\r\n" % len(REQUEST)) + REQUEST
    async with gated_server() as server, client(server, offer + with_body * 2 + LAST) as reader:
        server.gate.set()
        assert await answers(reader) == 4
        assert server.bodies == [b"", REQUEST, REQUEST, b""]
