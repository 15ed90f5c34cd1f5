"""Streaming responses: status, chunks, and disconnects."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chat.api.streaming import StreamingTurnResponse
from chat.running.turn_updates import DirectDeltas
from parley.web.service_protocol import EXTENSION
from parley_testing import eventually


@dataclass
class RecordedConnection:
    """An ASGI connection that records messages; ``disconnect`` ends it."""

    messages: list[Any] = field(default_factory=list)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    response_started: bool = False
    sent: int = 0

    async def send(self, message: Any) -> None:
        self.response_started = self.response_started or message["type"] == "http.response.start"
        self.messages.append(message)

    async def receive(self) -> Any:
        await self.disconnected.wait()
        return {"type": "http.disconnect"}

    async def serve(self, response: StreamingTurnResponse) -> None:
        await response({"type": "http", "parley": self}, self.receive, self.send)

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.messages if message["type"] == "http.response.body"]


async def two_chunks() -> AsyncGenerator[bytes, None]:
    yield b"one"
    yield b"two"


async def endless(closed: asyncio.Event) -> AsyncGenerator[bytes, None]:
    try:
        yield b"one"
        await asyncio.Event().wait()
    finally:
        closed.set()


async def test_chunks_follow_the_status_and_are_counted() -> None:
    connection = RecordedConnection()
    await connection.serve(StreamingTurnResponse(two_chunks()))
    assert connection.messages[0]["status"] == 200
    assert (connection.bodies, connection.sent) == ([b"one", b"two", b""], 6)


async def test_an_error_before_the_first_chunk_sends_no_status() -> None:
    async def failing() -> AsyncGenerator[bytes, None]:
        raise LookupError
        yield b""

    connection = RecordedConnection()
    with pytest.raises(LookupError):
        await connection.serve(StreamingTurnResponse(failing()))
    assert connection.messages == []


async def test_a_disconnect_closes_the_source_and_is_reported() -> None:
    connection, closed, reported = RecordedConnection(), asyncio.Event(), asyncio.Event()

    async def report() -> None:
        reported.set()

    response = StreamingTurnResponse(endless(closed), on_disconnect=report)
    serving = asyncio.create_task(connection.serve(response))
    await eventually(lambda: connection.bodies == [b"one"])
    connection.disconnected.set()
    await serving
    assert closed.is_set()
    assert reported.is_set()


async def test_a_complete_response_reports_no_disconnect() -> None:
    connection, reported = RecordedConnection(), asyncio.Event()

    async def report() -> None:
        reported.set()

    await connection.serve(StreamingTurnResponse(two_chunks(), on_disconnect=report))
    assert not reported.is_set()


async def test_the_direct_way_opens_with_the_first_chunk_and_counts_what_it_writes() -> None:
    connection, direct, written = RecordedConnection(), DirectDeltas(), list[bytes]()

    class Stream:
        async def send(self, data: bytes) -> None:
            written.append(data)

        def send_now(self, data: bytes) -> bool:
            written.append(data)
            return True

    async def chunks() -> AsyncGenerator[bytes, None]:
        assert direct.write is None
        yield b"one"
        assert direct.write is not None
        assert direct.write(b"two")

    scope = {"type": "http", "parley": connection, "extensions": {EXTENSION: Stream()}}
    await StreamingTurnResponse(chunks(), direct=direct)(scope, connection.receive, connection.send)
    assert (written, connection.sent) == ([b"one", b"two"], 6)
