"""The HTTP protocol towards clients: uvicorn's httptools protocol, hardened for a port that faces strangers.

What it adds: exactly one Host, no transfer coding but ``chunked``, limits on heads, deadlines for heads, bodies and
readers (uvicorn has none), trailers ignored, and a word to the app at once when the client is gone.
"""

import asyncio
import re
import socket
import time
from collections.abc import Callable
from typing import Any, cast

import httptools
import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.settings import GatewaySettings
from parley import errors, problems
from parley.errors import ParleyError
from parley.ids import new_id

SWEEP = 0.5
"""Seconds between two looks at the deadlines of clients."""
KEEP_ALIVE = 75.0
SLOW_BODY_AFTER, SLOW_BODY_RATE = 10.0, 1024
"""A body may be slower than so many bytes a second only for its first seconds."""
SEND_BUFFER = 131_072
"""Bytes the kernel keeps for a client that does not read: without a bound, a thousand of them starve all others."""
LINGER = 2.0
"""Seconds a refused client gets to read why."""
GONE_AFTER = 10.0
"""Seconds a closing connection gets to take its last bytes."""
_HOST = re.compile(rb"[A-Za-z0-9._~:\[\]-]{0,255}\Z")


class Refused(Exception):
    """This request is answered here and goes no further."""


class Edge:
    """All client connections of one server, and the deadlines they are held to."""

    def __init__(self, settings: GatewaySettings) -> None:
        """Take the limits and deadlines."""
        self.settings = settings
        self.connections: set[EdgeProtocol] = set()

    def protocol(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> "EdgeProtocol":
        """Make the protocol of one connection: what ``uvicorn.Config(http=…)`` takes."""
        return EdgeProtocol(config, server_state, app_state, _loop, edge=self)

    async def watch(self) -> None:
        """Close what is too slow, for ever."""
        while True:
            await asyncio.sleep(SWEEP)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.check(now)


class Exchange(RequestResponseCycle):
    """One request on a connection; in ``scope["extensions"]["parley.exchange"]``."""

    on_gone: Callable[[], None] | None = None
    hang_up: Callable[[bool], None]
    trusted_headers = True

    async def send(self, message: Any) -> None:
        """Send a part of the answer; headers come from our own code or a parser, so they are not searched again."""
        if message["type"] != "http.response.start" or self.response_started:
            await super().send(message)
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if not self.disconnected:
            self.transport.write(self._head(message["status"], message["headers"]))

    async def respond(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole answer in one write; ``headers`` must hold the content-length."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        head = self._head(status, headers)
        self.transport.write(head if self.scope["method"] == "HEAD" else head + body)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.hang_up(self.more_body)
        self.on_response()

    def _head(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        self.response_started, self.waiting_for_100_continue = True, False
        content = [STATUS_LINE[status]]
        closing = False
        for name, value in headers:
            if name == b"content-length":
                self.expected_content_length, self.chunked_encoding = int(value), False
            elif name == b"connection":
                closing = True
            content += (name, b": ", value, b"\r\n")
        bodiless = self.scope["method"] == "HEAD" or status in (204, 304)
        if self.chunked_encoding is None and not bodiless:
            if self.scope["http_version"] == "1.0":
                self._until_close()
            else:
                self.chunked_encoding = True
                content.append(b"transfer-encoding: chunked\r\n")
        if closing:
            self.keep_alive = False
        elif not self.keep_alive:
            content.append(b"connection: close\r\n")
        content.append(b"\r\n")
        return b"".join(content)

    def _until_close(self) -> None:
        """Send a body whose end is the connection's: HTTP/1.0 knows no chunks."""
        self.keep_alive = False
        self.chunked_encoding = False
        self.expected_content_length = _Unbounded()

    def abort(self) -> None:
        """Close the connection at once, so that nobody takes a part for the whole."""
        self.disconnected = True
        self.transport.abort()


class _Unbounded(int):
    """A length that any body has."""

    def __lt__(self, other: object) -> bool:
        return False

    def __sub__(self, other: object) -> "_Unbounded":
        return self

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


class EdgeProtocol(HttpToolsProtocol):
    """One client connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None,
        *,
        edge: Edge,
    ) -> None:
        """Take what uvicorn gives, and the edge."""
        super().__init__(config, server_state, app_state, _loop)
        self.edge = edge
        self.head_bytes = self.head_fields = self.heads = 0
        self.in_head = True
        self.refusal: ParleyError | None = None
        self.hanging_up = False
        self.deadline = time.monotonic() + edge.settings.header_timeout
        self.body_began: float | None = None
        self.body_bytes = 0
        self.stuck_since: float | None = None
        self.stuck_at = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        super().connection_made(cast("asyncio.Transport", transport))
        self.edge.connections.add(self)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if len(self.edge.connections) > self.edge.settings.max_connections:
            self._refuse(errors.Overloaded())

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever works for this client."""
        self.edge.connections.discard(self)
        cycle = cast("Exchange | None", self.cycle)
        super().connection_lost(exc)
        if cycle is not None and cycle.on_gone is not None:
            cycle.on_gone()
        self._let_go()

    def data_received(self, data: bytes) -> None:
        """Parse, and count what belongs to a head."""
        if self.refusal is not None or self.hanging_up or self.transport.is_closing():
            return
        if self.in_head and not self.head_bytes:
            self.deadline = time.monotonic() + self.edge.settings.header_timeout
        was_in_head, heads = self.in_head, self.heads
        super().data_received(data)
        if self.in_head and self.refusal is None:
            # Data that ended a head or a body is mostly theirs; what began the next head is counted field by field.
            self.head_bytes += len(data) if was_in_head and self.heads == heads else 1
            if self.head_bytes > self.edge.settings.header_limit:
                self._refuse(errors.HeadersTooLarge())

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, or was refused while it was."""
        del msg
        self._refuse(self.refusal or errors.InvalidRequest("This is not a valid HTTP request."))

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self.in_head, self.head_fields = True, 0

    def on_url(self, url: bytes) -> None:
        """Take the target, of bounded length."""
        super().on_url(url)
        if len(self.url) > self.edge.settings.header_limit:
            self._stop(errors.HeadersTooLarge())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field; what comes after the body (trailers) is not looked at."""
        if not self.in_head:
            return
        self.head_fields += 1
        self.head_bytes += len(name) + len(value) + 4
        settings = self.edge.settings
        if self.head_fields > settings.header_count_limit or self.head_bytes > settings.header_limit:
            self._stop(errors.HeadersTooLarge())
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the framing, then start the app."""
        self.in_head, self.head_bytes = False, 0
        self.heads += 1
        has_body = self._check_head()
        self.deadline = float("inf")
        self.body_began, self.body_bytes = (time.monotonic(), 0) if has_body else (None, 0)
        if self.parser.should_upgrade():
            if self._should_upgrade() and not has_body:
                self.scope["method"] = self.parser.get_method().decode("ascii")
                return
            self._stop(errors.InvalidRequest("This upgrade is not supported."))
        self._begin_exchange()

    def _check_head(self) -> bool:
        """Refuse ambiguous framing; say whether a body follows."""
        hosts = codings = 0
        length = b"0"
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
                if not _HOST.match(value):
                    self._stop(errors.InvalidRequest("The Host is not valid."))
            elif name == b"transfer-encoding":
                codings += 1
                if value.lower() != b"chunked" or self.parser.get_http_version() == "1.0":
                    self._stop(errors.InvalidRequest("Only the transfer coding `chunked` is accepted."))
            elif name == b"content-length":
                length = value
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() != "1.0"):
            self._stop(errors.InvalidRequest("Exactly one Host is required."))
        return codings > 0 or length.strip(b"0") != b""

    def _begin_exchange(self) -> None:
        version = self.parser.get_http_version()
        scope = cast("dict[str, Any]", self.scope)
        target = httptools.parse_url(self.url)
        raw = target.path
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"], scope["raw_path"], scope["query_string"] = raw.decode("ascii"), raw, target.query or b""
        previous = self.cycle
        cycle = Exchange(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        cycle.hang_up = self._hang_up
        scope["extensions"] = {"parley.exchange": cycle}
        if self._is_free(previous):
            self.cycle = cycle
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol, which has deadlines of its own."""
        self.edge.connections.discard(self)
        super().handle_websocket_upgrade()

    def on_body(self, body: bytes) -> None:
        """Pass the body on."""
        self.body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        self.body_began = None
        super().on_message_complete()
        self.in_head, self.head_bytes, self.deadline = True, 0, float("inf")

    def on_response_complete(self) -> None:
        """Wait for the next request, with a deadline of the edge's instead of a timer for each."""
        self.server_state.total_requests += 1
        self._let_go()
        if self.hanging_up or self.transport.is_closing():
            return
        self.flow.resume_reading()
        self.deadline = time.monotonic() + KEEP_ALIVE
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self.cycle = cycle
            self.deadline = float("inf")
            self._start_asgi_task(cycle, app)

    def _let_go(self) -> None:
        """Break the circle of exchange and scope, so that a request is freed without the garbage collector."""
        if self.cycle is not None:
            cast("dict[str, Any]", self.cycle.scope).pop("extensions", None)

    def check(self, now: float) -> None:
        """Close the connection when a deadline has passed."""
        settings = self.edge.settings
        waiting = self.transport.get_write_buffer_size()
        if waiting == 0 or waiting != self.stuck_at:
            self.stuck_since, self.stuck_at = (now, waiting) if waiting else (None, 0)
        patience = GONE_AFTER if self.transport.is_closing() else settings.write_timeout
        too_slow = (
            now > self.deadline
            or (self.stuck_since is not None and now - self.stuck_since > patience)
            or self._slow_body(now)
        )
        if too_slow:
            self.transport.abort()

    def _slow_body(self, now: float) -> bool:
        if self.body_began is None:
            return False
        if self.flow.read_paused:
            self.body_began += SWEEP
            return False
        elapsed = now - self.body_began
        return elapsed > SLOW_BODY_AFTER and self.body_bytes < SLOW_BODY_RATE * elapsed

    @staticmethod
    def _is_free(cycle: RequestResponseCycle | None) -> bool:
        return cycle is None or cycle.response_complete

    def _stop(self, error: ParleyError) -> None:
        self.refusal = error
        raise Refused

    def _refuse(self, error: ParleyError) -> None:
        """Answer with a problem and close; when an answer is on its way already, only close."""
        self.refusal = error
        if self._is_free(self.cycle) or (not self.pipeline and not self.cycle.response_started):
            if self.cycle is not None:
                self.cycle.disconnected = True  # the app, which may be waiting for the body, has nobody to answer
            request_id = str(new_id())
            base_url = self.edge.settings.issuer()
            body = orjson.dumps(problems.problem(error, instance="", request_id=request_id, base_url=base_url))
            head = (
                b"content-type: application/problem+json\r\ncontent-length: %d\r\nx-request-id: %s\r\n"
                b"connection: close\r\n\r\n" % (len(body), request_id.encode())
            )
            self.transport.write(STATUS_LINE[error.status] + head + body)
        self._hang_up(unread=True)

    def _hang_up(self, unread: bool) -> None:
        """Close after what was written; with ``unread`` data on its way, read on for a moment, to throw it away.

        Closing at once would reset the connection, and the answer with it.
        """
        if not unread or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.hanging_up = True
        self.transport.write_eof()
        self.body_began, self.deadline = None, time.monotonic() + LINGER


__all__ = ["Edge", "EdgeProtocol", "Exchange", "FlowControl"]
