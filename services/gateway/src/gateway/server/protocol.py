"""The HTTP protocol towards clients: uvicorn's httptools protocol, hardened for a port that faces strangers.

What it adds: exactly one Host, no transfer coding but ``chunked``, limits on heads, deadlines for heads, a minimum data
rate for bodies and readers (uvicorn has none), trailers ignored, and a word to the app at once when the client is gone.
"""

import asyncio
import socket
import time
from typing import Any, NoReturn, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.server import framing
from gateway.server.min_rate import Pace, Taken
from gateway.server.request_cycle import Exchange, refusal
from gateway.settings import GatewaySettings
from parley import errors
from parley.errors import ParleyError

KEEP_ALIVE = 75.0
SEND_BUFFER, HIGH_WATER = 65_536, 16_384
"""Bytes the kernel, and this process, keep for a client that does not read: a thousand of them starve nobody."""
LINGER = 2.0
"""Seconds a refused client gets to read why."""


class EdgeProtocol(HttpToolsProtocol):
    """One client connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None,
        *,
        settings: GatewaySettings,
        clients: "set[EdgeProtocol]",
    ) -> None:
        """Take what uvicorn gives, the limits and deadlines, and the set to be in while it is open."""
        super().__init__(config, server_state, app_state, _loop)
        self.settings, self.clients = settings, clients
        self.head_bytes = self.head_fields = self.heads = 0
        self.in_head, self.in_body, self.hanging_up = True, False, False
        self.refusal: ParleyError | None = None
        self.deadline = time.monotonic() + settings.header_timeout
        self.body_bytes = self.body_began = 0
        self.body_pace = Pace(settings.body_timeout)
        self.read_pace = Pace(settings.write_timeout)
        self.taken: Taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        super().connection_made(cast("asyncio.Transport", transport))
        self.clients.add(self)
        client = transport.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.transport.set_write_buffer_limits(HIGH_WATER)
        self.taken = Taken(client)
        if len(self.clients) > self.settings.max_connections:
            self._refuse(errors.Overloaded())

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever works for this client."""
        self.clients.discard(self)
        cycle = cast("Exchange | None", self.cycle)
        super().connection_lost(exc)
        if cycle is not None and cycle.on_gone is not None:
            cycle.on_gone()
        self._let_go()
        # Without these circles a connection is freed at once, and memory does not wait for the garbage collector.
        self.cycle = None  # type: ignore[assignment]
        del self.parser

    def data_received(self, data: bytes) -> None:
        """Parse, and count what belongs to a head."""
        if self.refusal is not None or self.hanging_up or self.transport.is_closing():
            return
        if self.in_head and not self.head_bytes:
            self.deadline = time.monotonic() + self.settings.header_timeout
        was_in_head, heads = self.in_head, self.heads
        super().data_received(data)
        if self.in_head and self.refusal is None:
            # Data that ended a head or a body is mostly theirs; what began the next head is counted field by field.
            self.head_bytes += len(data) if was_in_head and self.heads == heads else 1
            if self.head_bytes > self.settings.header_limit:
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
        if len(self.url) > self.settings.header_limit:
            self._stop(errors.HeadersTooLarge())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field; what comes after the body (trailers) is not looked at."""
        if not self.in_head:
            return
        self.head_fields += 1
        self.head_bytes += len(name) + len(value) + 4
        settings = self.settings
        if self.head_fields > settings.header_count_limit or self.head_bytes > settings.header_limit:
            self._stop(errors.HeadersTooLarge())
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the framing, then start the app."""
        self.in_head, self.head_bytes = False, 0
        self.heads += 1
        try:
            self.in_body = framing.has_body(self.headers, self.parser.get_http_version())
        except ParleyError as error:
            self._stop(error)
        self.deadline = float("inf")
        self.body_pace.rest()
        self.body_began = self.body_bytes
        if self.parser.should_upgrade():
            if self._should_upgrade() and not self.in_body:
                self.scope["method"] = self.parser.get_method().decode("ascii")
                return
            self._stop(errors.InvalidRequest("This upgrade is not supported."))
        self._begin_exchange()

    def _begin_exchange(self) -> None:
        version = self.parser.get_http_version()
        scope = cast("dict[str, Any]", self.scope)
        target = httptools.parse_url(self.url)
        scope["method"], scope["http_version"] = self.parser.get_method().decode("ascii"), version
        scope["path"], scope["raw_path"] = target.path.decode("ascii"), target.path
        scope["query_string"] = target.query or b""
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
        if _is_free(previous):
            self.cycle = cycle
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol, which has deadlines of its own."""
        self.clients.discard(self)
        super().handle_websocket_upgrade()

    def on_body(self, body: bytes) -> None:
        """Pass the body on; the app is not woken before its beginning is here."""
        self.body_bytes += len(body)
        if self.body_bytes - self.body_began < framing.BEGINNING and not self.cycle.response_complete:
            self.cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        self.in_body = False
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
        if now > self.deadline or self._reads_too_slowly(now) or self._sends_too_slowly(now):
            self.transport.abort()

    def _reads_too_slowly(self, now: float) -> bool:
        waiting = self.transport.get_write_buffer_size()
        if not waiting:
            self.read_pace.rest()
            return False
        return self.read_pace.too_slow(now, self.taken.count(waiting))

    def _sends_too_slowly(self, now: float) -> bool:
        if not self.in_body or self.flow.read_paused:
            self.body_pace.rest()
            return False
        return self.body_pace.too_slow(now, self.body_bytes)

    def _stop(self, error: ParleyError) -> NoReturn:
        self.refusal = error
        raise framing.Refused

    def _refuse(self, error: ParleyError) -> None:
        """Answer with a problem and close; when an answer is on its way already, only close."""
        self.refusal = error
        if _is_free(self.cycle) or (not self.pipeline and not self.cycle.response_started):
            if self.cycle is not None:
                self.cycle.disconnected = True  # the app, which may be waiting for the body, has nobody to answer
            self.transport.write(refusal(error, self.settings.issuer()))
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
        self.in_body, self.deadline = False, time.monotonic() + LINGER


def _is_free(cycle: RequestResponseCycle | None) -> bool:
    return cycle is None or cycle.response_complete
