"""Event stream relaying: final events, and streams that another replica continues."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from gateway.access.cors import Cors
from gateway.access.streams import OpenStreams
from gateway.errors import ClientDisconnected, StreamTerminated
from gateway.http import Header
from gateway.proxy.event_relaying import EventRelay
from gateway.proxy.forwarding import ForwardedRequest
from gateway.proxy.response_headers import ResponseHeaders
from gateway.proxy.resuming import StreamResumer
from gateway.proxy.sse import is_event_stream
from gateway.routes import Route, route
from gateway.server.request_cycle import RequestCycle
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.pool import Pool, PoolLimits
from gateway_testing.fakes import FakeStreamLeases, make_request
from parley.web.lifecycle import Lifecycle
from parley_testing import eventually
from parley_testing.http.scripted_server import RecordedRequest, Responder, ScriptedServer, respond, scripted_server

STREAM = route("POST", "/chat/stream", "chat", "chat:write", stream=True)
OPENAI = route("POST", "/v1/chat/completions", "chat", "chat:write", stream=True)
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
RESUMABLE = CHUNKED[:-2] + b"x-parley-resume: /turns/7/stream?after=2\r\nx-parley-ping: %b\r\n\r\n"
EVENT_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


class FakeClient:
    """Collects what is sent to the client."""

    def __init__(self) -> None:
        self.headers: list[Header] = []
        self.body = b""
        self.complete = False

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.headers = message["headers"]
        else:
            self.body += message["body"]
            self.complete = not message.get("more_body", False)


class FakeCycle:
    """Collects the parts of a response."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    async def wait_writable(self) -> None: ...

    def send_part(self, data: bytes) -> None:
        self.parts.append(data)


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def streams() -> OpenStreams:
    async def none_revoked(_sessions: object) -> set[str]:
        return set()

    return OpenStreams(none_revoked, FakeStreamLeases(), limit=10)


def make_relay(streams: OpenStreams, *, timeout: float) -> EventRelay:
    common = ResponseHeaders(Cors([]), Lifecycle(), public_url="https://chat.example")
    return EventRelay(streams, common, StreamResumer(CollectorRegistry(), timeout=timeout), idle_timeout=5)


@pytest.fixture
def relay(streams: OpenStreams) -> EventRelay:
    return make_relay(streams, timeout=60)


@pytest.fixture
def impatient(streams: OpenStreams) -> EventRelay:
    """Gives up after a second."""
    return make_relay(streams, timeout=1)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(number: int) -> bytes:
    return b"id: %d\ndata: {}\n\n" % number


def replies(*pieces: bytes) -> Responder:
    async def answer(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENT_STREAM + b"".join(map(chunk, pieces)) + END)
        await writer.drain()

    return answer


def forwarded(*servers: ScriptedServer, data: bytes) -> ForwardedRequest:
    """Return a request whose response comes from an endpoint of its own, and which other servers can continue."""
    connection = UpstreamConnection(lambda _: None)
    connection.start_request("POST", b"", timeout=5)
    connection.data_received(data)
    first = Endpoint("192.0.2.1", 80)
    first.ejected_until = float("inf")
    first.active = 1
    endpoints = [first, *(Endpoint("127.0.0.1", server.port) for server in servers)]
    pool = Pool("chat", endpoints, PoolLimits(connect_timeout=1))
    return ForwardedRequest(pool, first, connection, [])


@contextlib.asynccontextmanager
async def relaying(
    relay: EventRelay, request: ForwardedRequest, client: FakeClient, path: Route = STREAM
) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(relay.relay(make_request(), path, request, [], client.send))
    yield task
    async with asyncio.timeout(20):
        await task
    request.pool.close()


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


async def test_another_replica_continues_a_broken_stream_behind_the_last_whole_event(
    relay: EventRelay, client: FakeClient
) -> None:
    async with scripted_server(replies(event(5), event(6))) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3) + event(4) + b"id: 5\ndata: {"))
        request.connection.connection_lost(None)
        async with relaying(relay, request, client):
            pass
        (seen,) = other.journal
    assert client.body == b"".join(map(event, (3, 4, 5, 6)))
    assert client.complete
    assert (seen.method, seen.target) == ("GET", "/turns/7/stream?after=2")
    assert (seen.header("last-event-id"), seen.header("x-parley-resumes")) == ("4", "1")


async def test_a_stream_that_broke_before_its_first_event_continues_at_the_cursor_of_the_client(
    relay: EventRelay, client: FakeClient
) -> None:
    async with scripted_server(replies(event(3))) as other:
        request = forwarded(other, data=RESUMABLE % b"3")
        request.connection.connection_lost(None)
        async with relaying(relay, request, client):
            pass
        assert other.journal[0].header("last-event-id") is None
    assert client.body == event(3)


async def test_a_stream_without_ids_continues_after_the_number_of_its_events(
    relay: EventRelay, client: FakeClient
) -> None:
    async with scripted_server(replies(b"data: c\n\n", b"data: [DONE]\n\n")) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(b"data: a\n\n: ping\ndata: b\n\ndata: "))
        request.connection.connection_lost(None)
        async with relaying(relay, request, client, OPENAI):
            pass
        assert other.journal[0].header("last-event-id") == "2"
    assert client.body == b"data: a\n\n: ping\ndata: b\n\ndata: c\n\ndata: [DONE]\n\n"


async def test_a_replica_that_misses_its_pings_is_given_up(relay: EventRelay, client: FakeClient) -> None:
    async with scripted_server(replies(event(4))) as other:
        request = forwarded(other, data=RESUMABLE % b"0.001" + chunk(event(3) + b": ping\n\n"))
        async with relaying(relay, request, client):
            await eventually(lambda: request.connection.deadline < float("inf"))
            await _pass_deadline(request)
    assert client.body == event(3) + b": ping\n\n" + event(4)


async def _pass_deadline(request: ForwardedRequest) -> None:
    """Enforce the deadline of the connection, which the pool of production does for the connections it made."""
    request.endpoint.connections.add(request.connection)

    def lost() -> bool:
        request.pool.enforce_deadlines()
        return request.endpoint.host == "127.0.0.1"

    await eventually(lost)


async def test_a_replica_asks_to_continue_its_stream_elsewhere(relay: EventRelay, client: FakeClient) -> None:
    async with scripted_server(replies(event(4))) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3) + b": moved\n\n") + END)
        failures = request.endpoint.failures
        async with relaying(relay, request, client):
            pass
        assert request.endpoint.failures == failures, "it is no failure of the replica"
    assert client.body == event(3) + event(4)


async def test_a_move_alone_writes_no_part_which_would_end_the_response(relay: EventRelay, client: FakeClient) -> None:
    async with scripted_server(replies(event(4))) as other:
        moving = forwarded(other, data=RESUMABLE % b"3" + chunk(b": moved\n\n") + END)
        request, cycle = make_request(), FakeCycle()
        request.cycle = cast("RequestCycle", cycle)
        await relay.relay(request, STREAM, moving, [], client.send)
        moving.pool.close()
    assert cycle.parts == [event(4)]


@pytest.mark.parametrize("cut", [len(b": moved\n"), len(b": move")])
async def test_a_move_may_arrive_in_two_parts(relay: EventRelay, client: FakeClient, cut: int) -> None:
    move = b": moved\n\n"
    async with scripted_server(replies(event(4))) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3) + move[:cut]))
        async with relaying(relay, request, client):
            await eventually(lambda: client.body)
            request.connection.data_received(chunk(move[cut:]) + END)
    assert client.body == event(3) + event(4)


async def test_a_replica_that_cannot_continue_the_stream_yet_is_asked_again(
    relay: EventRelay, client: FakeClient
) -> None:
    async with scripted_server(respond(503)) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3)))
        request.connection.connection_lost(None)
        async with relaying(relay, request, client):
            await eventually(lambda: other.journal)
            other.answer = replies(event(4))
    assert client.body.replace(b": ping\n\n", b"") == event(3) + event(4)


@pytest.mark.parametrize("answer", [respond(503), respond(404)])
async def test_a_stream_that_nobody_continues_ends_with_its_cursor(
    impatient: EventRelay, client: FakeClient, answer: Responder
) -> None:
    async with scripted_server(answer) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3)))
        request.connection.connection_lost(None)
        async with relaying(impatient, request, client):
            pass
    final = b'event: interrupted\ndata: {"code":"upstream_error","last_event_id":"3"}\n\n'
    assert client.body.replace(b": ping\n\n", b"") == event(3) + final


async def test_replicas_that_break_off_without_a_new_event_are_given_up(
    impatient: EventRelay, client: FakeClient
) -> None:
    async def break_off(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENT_STREAM + chunk(b": ping\n\n"))
        await writer.drain()
        writer.transport.abort()

    async with scripted_server(break_off) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3)))
        request.connection.connection_lost(None)
        async with relaying(impatient, request, client):
            pass
        assert len(other.journal) > 1
    assert client.body.endswith(b'"last_event_id":"3"}\n\n')


async def test_a_client_that_leaves_ends_the_attempts(relay: EventRelay, client: FakeClient) -> None:
    async with scripted_server(respond(503)) as other:
        request = forwarded(other, data=RESUMABLE % b"3" + chunk(event(3)))
        request.connection.connection_lost(None)
        task = asyncio.create_task(relay.relay(make_request(), STREAM, request, [], client.send))
        await eventually(lambda: other.journal)
        request.end(ClientDisconnected())
        with pytest.raises(ClientDisconnected):
            await task
        request.pool.close()
    assert not client.complete


def test_only_server_sent_events_are_an_event_stream() -> None:
    assert is_event_stream([(b"content-type", b"text/event-stream; charset=utf-8")])
    assert not is_event_stream([(b"content-type", b"application/json")])
