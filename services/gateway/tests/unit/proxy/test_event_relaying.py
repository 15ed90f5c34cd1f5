"""Event stream relaying: events, and the final ones of streams that end early."""

import asyncio
from typing import cast

import pytest

from gateway.access.streams import OpenStreams
from gateway.errors import StreamTerminated
from gateway.proxy.event_relaying import EventRelay
from gateway.proxy.sse import is_event_stream
from gateway.routes import Route
from gateway.server.request_cycle import RequestCycle
from gateway_testing.event_streams import (
    CHUNKED,
    END,
    OPENAI,
    RESUMABLE,
    STREAM,
    FakeClient,
    FakeCycle,
    chunk,
    event,
    forwarded,
    relaying,
)
from gateway_testing.fakes import make_request
from parley_testing import eventually


async def test_an_event_stream_is_relayed_to_its_end(
    relay: EventRelay, client: FakeClient, streams: OpenStreams
) -> None:
    data = CHUNKED + chunk(b"data: 1\n\ndata: 2\n\ndata: half") + END
    async with relaying(relay, forwarded(data=data), client):
        pass
    assert (client.body, client.complete) == (b"data: 1\n\ndata: 2\n\ndata: half", True)
    assert (b"x-accel-buffering", b"no") in client.headers
    assert streams.count == 0


async def test_a_broken_stream_that_cannot_be_resumed_ends_with_a_final_event(
    relay: EventRelay, client: FakeClient
) -> None:
    request = forwarded(data=CHUNKED + chunk(b"data: 1\n\ndata: half"))
    request.connection.connection_lost(None)
    async with relaying(relay, request, client):
        pass
    assert client.body == b'data: 1\n\nevent: interrupted\ndata: {"code":"upstream_error"}\n\n'
    assert client.complete


@pytest.mark.parametrize(
    ("path", "expected"),
    [(STREAM, b'event: draining\ndata: {"retry_after_ms":500}\n\n'), (OPENAI, b'data: {"error":{"message":')],
)
async def test_a_terminated_stream_ends_with_the_event_of_its_format(
    relay: EventRelay, client: FakeClient, path: Route, expected: bytes
) -> None:
    request = forwarded(data=RESUMABLE % b"3")
    request.end(StreamTerminated("draining", {"retry_after_ms": 500}))
    async with relaying(relay, request, client, path):
        pass
    assert client.body.startswith(expected)


def test_only_server_sent_events_are_an_event_stream() -> None:
    assert is_event_stream([(b"content-type", b"text/event-stream; charset=utf-8")])
    assert not is_event_stream([(b"content-type", b"application/json")])


async def test_events_are_sent_at_once_and_counted_while_the_relay_waits(relay: EventRelay, client: FakeClient) -> None:
    upstream = forwarded(data=RESUMABLE % b"3")
    request, cycle = make_request(), FakeCycle()
    request.cycle = cast("RequestCycle", cycle)
    task = asyncio.create_task(relay.relay(request, STREAM, upstream, [], client.send))
    await eventually(lambda: upstream.connection._relay)
    upstream.connection.data_received(chunk(event(1)) + chunk(event(2)))
    assert cycle.parts == [event(1) + event(2)]
    cycle.slow = True
    upstream.connection.data_received(chunk(event(3)))
    upstream.connection.data_received(chunk(event(4)[:5]))
    await eventually(lambda: len(cycle.parts) == 2)
    cycle.slow = False
    upstream.connection.data_received(chunk(event(4)[5:]) + chunk(event(5)[:5]))
    await eventually(lambda: len(cycle.parts) == 3)
    upstream.connection.data_received(chunk(event(5)[5:]) + END)
    await task
    upstream.pool.close()
    body = b"".join(cycle.parts) + client.body
    assert body == b"".join(map(event, range(1, 6)))
    assert request.bytes_sent == len(body)
