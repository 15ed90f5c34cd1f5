"""Event streams of services that are relayed to a client and continued by other servers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from prometheus_client import CollectorRegistry

from gateway.access.cors import Cors
from gateway.access.streams import OpenStreams
from gateway.http import Header
from gateway.proxy.event_relaying import EventRelay
from gateway.proxy.forwarding import ForwardedRequest
from gateway.proxy.response_headers import ResponseHeaders
from gateway.proxy.resuming import StreamResumer
from gateway.routes import Route, route
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.pool import Pool, PoolLimits
from gateway_testing.fakes import make_request
from parley.web.lifecycle import Lifecycle
from parley_testing.http.scripted_server import RecordedRequest, Responder, ScriptedServer

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
    """Collects the parts of a response; a ``slow`` client takes none at once."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.slow = False

    async def wait_writable(self) -> None: ...

    def send_part(self, data: bytes) -> None:
        self.parts.append(data)

    def send_now(self, data: bytes) -> bool:
        if not self.slow:
            self.parts.append(data)
        return not self.slow


def make_relay(streams: OpenStreams, *, timeout: float) -> EventRelay:
    common = ResponseHeaders(Cors([]), Lifecycle(), public_url="https://chat.example")
    return EventRelay(streams, common, StreamResumer(CollectorRegistry(), timeout=timeout), idle_timeout=5)


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
