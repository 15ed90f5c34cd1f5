"""Connections to services: bounded heads, problems as refusals, and deadlines for what a client owes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import orjson
import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from parley.config.settings import ServiceSettings, load
from parley.web.http_protocol import MAX_HEAD_FIELDS
from parley.web.server import make_server
from parley.web.service_protocol import (
    BODY_TIMEOUT,
    EXTENSION,
    HEAD_TIMEOUT,
    IDLE_TIMEOUT,
    ResponseStream,
    ServiceHttpProtocol,
)
from parley_testing import eventually

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


@dataclass
class Service:
    """An app behind the protocol on a real socket, and the headers that it received."""

    port: int = 0
    connections: list[ServiceHttpProtocol] = field(default_factory=list)
    headers: list[dict[bytes, bytes]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
        self.headers.append(dict(scope["headers"]))
        await self.gate.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    def late(self, seconds: float) -> bool:
        """Return whether the connection is closed when it is checked after these seconds."""
        (connection,) = self.connections
        connection._deadline -= seconds
        connection.check_deadline()
        connection._deadline += seconds
        return connection.transport.is_closing()


@dataclass
class StreamingService(Service):
    """An app that sends parts of a stream until it is cancelled, past the layers of an app."""

    part: bytes = b"token"
    parts: int = 2
    sent: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        stream: ResponseStream = scope["extensions"][EXTENSION]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(self.parts):
            await stream.send(self.part)
            self.sent += 1
        await send({"type": "http.response.body"})


@contextlib.asynccontextmanager
async def service(
    app: Service | None = None,
) -> AsyncIterator[tuple[Service, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve, and open one connection."""
    app, loop = app or Service(), asyncio.get_running_loop()
    app.gate.set()
    config = make_server(app, load(ServiceSettings, admin_port=0)).config
    config.load()
    state = ServerState()

    def protocol() -> ServiceHttpProtocol:
        app.connections.append(ServiceHttpProtocol(config, state, {}, loop))
        return app.connections[-1]

    async with await loop.create_server(protocol, "127.0.0.1", 0) as server:
        app.port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        await eventually(lambda: app.connections)
        yield app, reader, writer
        writer.close()
        for connection in app.connections:
            connection.transport.abort()
        app.gate.set()
        await eventually(lambda: not state.tasks)


async def response(reader: asyncio.StreamReader) -> None:
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")


async def test_a_connection_without_a_request_is_closed() -> None:
    async with service() as (app, _, _):
        assert not app.late(HEAD_TIMEOUT - 1)
        assert app.late(HEAD_TIMEOUT)


@pytest.mark.parametrize("part", [REQUEST[:20], b"\r\n\r\n"])
async def test_a_head_that_does_not_end_is_closed_after_its_time(part: bytes) -> None:
    async with service() as (app, _, writer):
        writer.write(part)
        await eventually(lambda: app.connections[0].head_bytes)
        assert not app.late(HEAD_TIMEOUT - 1)
        assert app.late(HEAD_TIMEOUT)


async def test_blank_lines_between_requests_do_not_keep_a_connection_open() -> None:
    async with service() as (app, reader, writer):
        writer.write(REQUEST)
        await response(reader)
        writer.write(b"\r\n")
        await eventually(lambda: app.connections[0].head_bytes)
        assert not app.late(IDLE_TIMEOUT - 1)
        assert app.late(IDLE_TIMEOUT)


async def test_a_body_that_stops_is_closed() -> None:
    async with service() as (app, _, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc")
        await eventually(lambda: app.connections[0].heads)
        assert not app.late(BODY_TIMEOUT - 1)
        assert app.late(BODY_TIMEOUT)


async def test_a_request_may_take_as_long_as_the_service_needs() -> None:
    async with service() as (app, reader, writer):
        app.gate.clear()
        writer.write(REQUEST)
        await eventually(lambda: app.headers)
        assert not app.late(100_000)
        app.gate.set()
        await response(reader)
        writer.write(REQUEST)
        await response(reader)


async def test_a_request_that_waited_may_take_as_long_as_the_service_needs() -> None:
    async with service() as (app, reader, writer):
        app.gate.clear()
        writer.write(REQUEST * 2)
        await eventually(lambda: app.headers)
        app.gate.set()
        app.gate = asyncio.Event()
        await response(reader)
        await eventually(lambda: len(app.headers) == 2)
        assert not app.late(IDLE_TIMEOUT)
        app.gate.set()
        await response(reader)
        assert app.late(IDLE_TIMEOUT)


async def test_a_head_that_is_not_read_because_earlier_requests_wait_is_not_late() -> None:
    async with service() as (app, reader, writer):
        app.gate.clear()
        writer.write(REQUEST)
        await eventually(lambda: app.headers)
        writer.write(REQUEST + REQUEST[:20])
        await eventually(lambda: app.connections[0].flow.read_paused and app.connections[0].head_bytes)
        assert not app.late(HEAD_TIMEOUT * 2)
        app.gate.set()
        await response(reader)
        await eventually(lambda: not app.connections[0].flow.read_paused)
        assert not app.late(HEAD_TIMEOUT / 2)
        assert app.late(HEAD_TIMEOUT * 3)


async def test_a_client_that_leaves_while_its_requests_wait_is_noticed() -> None:
    async with service() as (app, _, writer):
        app.gate.clear()
        writer.write(REQUEST * 40)
        await eventually(lambda: app.connections[0].flow.read_paused)
        writer.transport.abort()

        def noticed() -> bool:
            app.connections[0].check_deadline()
            return app.connections[0].transport.is_closing()

        await eventually(noticed)


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a: b\r\n" * (MAX_HEAD_FIELDS + 1), 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 200_000, 431, "headers_too_large"),
        (b"GET /" + b"a" * 200_000, 431, "headers_too_large"),
        (b"rubbish\r\n\r\n", 400, "invalid_request"),
        (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 400, "invalid_request"),
    ],
    ids=["fields", "value", "target", "rubbish", "version"],
)
async def test_heads_that_are_too_large_or_invalid_get_a_problem(head: bytes, status: int, code: str) -> None:
    async with service() as (app, reader, writer):
        writer.write(head)
        found, body = (await reader.read()).split(b"\r\n\r\n", 1)
        assert found.startswith(b"HTTP/1.1 %d " % status)
        assert b"content-type: application/problem+json" in found
        assert orjson.loads(body)["code"] == code
        assert app.headers == []


async def test_trailers_are_ignored() -> None:
    async with service() as (app, reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-user: root\r\n\r\n")
        await response(reader)
        assert b"x-user" not in app.headers[0]


async def test_parts_of_a_stream_are_chunks_and_the_next_request_is_served() -> None:
    async with service(StreamingService()) as (_, reader, writer):
        for _ in range(2):
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head
            assert await reader.readuntil(b"\r\n0\r\n\r\n") == b"5\r\ntoken\r\n5\r\ntoken\r\n0\r\n\r\n"


async def test_parts_of_a_stream_wait_for_a_client_that_does_not_read() -> None:
    app = StreamingService(part=b"x" * 1_000_000, parts=100)
    async with service(app) as (_, _, writer):
        writer.write(REQUEST)
        await eventually(lambda: app.connections[0].flow.write_paused)
        assert app.sent < app.parts


async def test_a_client_that_left_ends_the_parts_of_a_stream() -> None:
    app = StreamingService(part=b"x" * 1_000_000, parts=100)
    async with service(app) as (_, _, writer):
        writer.write(REQUEST)
        await eventually(lambda: app.connections[0].flow.write_paused)
        writer.transport.abort()
        await eventually(lambda: app.sent == app.parts)


async def test_a_part_is_written_at_once_only_to_a_client_that_keeps_up() -> None:
    app = StreamingService(part=b"x" * 1_000_000, parts=100)
    async with service(app) as (_, _, writer):
        await eventually(lambda: app.connections[0].transport)
        connection = app.connections[0]
        assert connection._response_stream.send_now(b"part")
        writer.write(REQUEST)
        await eventually(lambda: connection.flow.write_paused)
        assert not connection._response_stream.send_now(b"part")
        writer.transport.abort()
        await eventually(connection.transport.is_closing)
        assert not connection._response_stream.send_now(b"part")
