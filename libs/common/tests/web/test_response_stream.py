"""Streams that services send past the layers of an app: chunks, pauses, and clients that leave."""

from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from parley.web.service_protocol import EXTENSION, ResponseStream
from parley_testing import eventually
from parley_testing.http.protocol_service import REQUEST, ProtocolService, open_service


@dataclass
class StreamingService(ProtocolService):
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


async def test_parts_of_a_stream_are_chunks_and_the_next_request_is_served() -> None:
    async with open_service(StreamingService()) as (_, reader, writer):
        for _ in range(2):
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head
            assert await reader.readuntil(b"\r\n0\r\n\r\n") == b"5\r\ntoken\r\n5\r\ntoken\r\n0\r\n\r\n"


async def test_parts_of_a_stream_wait_for_a_client_that_does_not_read() -> None:
    app = StreamingService(part=b"x" * 1_000_000, parts=100)
    async with open_service(app) as (_, _, writer):
        writer.write(REQUEST)
        await eventually(lambda: app.connections[0].flow.write_paused)
        assert app.sent < app.parts


async def test_a_client_that_left_ends_the_parts_of_a_stream() -> None:
    app = StreamingService(part=b"x" * 1_000_000, parts=100)
    async with open_service(app) as (_, _, writer):
        writer.write(REQUEST)
        await eventually(lambda: app.connections[0].flow.write_paused)
        writer.transport.abort()
        await eventually(lambda: app.sent == app.parts)


async def test_a_part_is_written_at_once_only_to_a_client_that_keeps_up() -> None:
    app = StreamingService(part=b"x" * 1_000_000, parts=100)
    async with open_service(app) as (_, _, writer):
        await eventually(lambda: app.connections[0].transport)
        connection = app.connections[0]
        assert connection._response_stream.send_now(b"part")
        writer.write(REQUEST)
        await eventually(lambda: connection.flow.write_paused)
        assert not connection._response_stream.send_now(b"part")
        writer.transport.abort()
        await eventually(connection.transport.is_closing)
        assert not connection._response_stream.send_now(b"part")
