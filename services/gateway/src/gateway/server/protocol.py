"""HTTP server protocol: Parley's bounded protocol, hardened for connections from the internet.

It adds strict framing rules, limits on request heads and connections, deadlines for heads, a minimum data rate for
request bodies and response readers, and a callback when the client disconnects.
"""

import asyncio
import socket
import time
from typing import Any, cast

from gateway.server import framing
from gateway.server.client_deadlines import NEVER, ClientDeadlines
from gateway.server.connection_limits import ConnectionLimits
from gateway.server.refusals import CountRefusal, count_refusal, forwarded_for
from gateway.server.request_cycle import EXTENSION, RequestCycle, complete_scope, error_response, is_done
from gateway.server.uvicorn_internals import Config, ServerState
from gateway.settings import GatewaySettings
from parley import errors
from parley.errors import ParleyError
from parley.web.http_protocol import BoundedHttpProtocol
from parley.web.tcp_state import has_left

SEND_BUFFER, HIGH_WATER = 65_536, 16_384
"""Bytes buffered for a slow reader: in the kernel, and in this process before writers have to wait."""
MAX_BUFFERED_BODY = 65_536
"""Bytes of a request body that the app has not read, at which reading from the client pauses."""
CLOSE_TIMEOUT = 2.0
"""Seconds a rejected client has to read the error response."""


class ServerProtocol(BoundedHttpProtocol):
    """One client connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None,
        *,
        settings: GatewaySettings,
        connections: "set[ServerProtocol]",
        limits: ConnectionLimits,
        count_refused: CountRefusal,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.settings, self.open_connections, self.limits = settings, connections, limits
        self.count_refused = count_refused
        self.max_head_bytes, self.max_head_fields = settings.header_limit, settings.header_count_limit
        self.in_body = self.closing = False
        self.idle_since = NEVER
        self.body_start = 0
        self.deadlines: ClientDeadlines
        self.receiving: RequestCycle | None = None
        """The request whose body is being parsed. With pipelining, ``cycle`` may still be an earlier one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = self.peer = self.client[0] if self.client else ""
        if self.limits.too_frequent(peer):
            self.transport.abort()
            return
        self.open_connections.add(self)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.transport.set_write_buffer_limits(HIGH_WATER)
        self.deadlines = ClientDeadlines(self.settings, self.transport)
        refusal = self.limits.admit(self, peer)
        if refusal is not None:
            self.rejection = refusal
            self._send_rejection(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open_connections.discard(self)
        self.limits.release(self)
        cycle = cast("RequestCycle | None", self.cycle)
        super().connection_lost(exc)
        if cycle is not None and cycle.on_disconnect is not None:
            cycle.on_disconnect()
        self._break_reference_cycle()
        self.cycle = self.receiving = None  # type: ignore[assignment]  # frees the connection without a collection
        del self.parser

    def can_parse(self) -> bool:
        return not self.closing and super().can_parse()

    def data_received(self, data: bytes) -> None:
        if not self.closing and not self.transport.is_closing():
            super().data_received(data)

    def parse_piece(self, piece: bytes) -> None:
        if self.in_head and not self.head_bytes:
            self.deadlines.expect_head()
            self.idle_since = NEVER
        super().parse_piece(piece)

    def on_headers_complete(self) -> None:
        self.end_head()
        try:
            self.body_left = framing.body_length(self.headers, self.parser.get_http_version())
        except ParleyError as error:
            self.stop_parsing(error)
        self.in_body = self.body_left != 0
        self.deadlines.head_received()
        self.body_start = self.body_bytes
        if self.parser.should_upgrade():
            self.receiving = None
            if not self.decline_upgrade():
                if self.in_body:
                    self.stop_parsing(errors.InvalidRequest("Send a request for a WebSocket without a body."))
                self.scope["method"] = self.parser.get_method().decode("ascii")
            return
        self._start_cycle()

    def _start_cycle(self) -> None:
        self.limits.mark_busy(self)
        self.idle_since = NEVER
        version = self.parser.get_http_version()
        scope = cast("dict[str, Any]", self.scope)
        complete_scope(scope, self.url, self.parser.get_method(), version)
        previous = self.cycle
        cycle = RequestCycle(
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
        cycle.hang_up, cycle.base_url = self._hang_up, self.settings.issuer()
        cycle.is_first = previous is None
        scope["extensions"] = {EXTENSION: cycle}
        self.receiving = cycle
        if is_done(previous):
            self.cycle = cycle
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def handle_websocket_upgrade(self) -> None:
        """Switch to the WebSocket protocol. The minimum rate of a reader still applies."""
        self.limits.mark_busy(self)
        super().handle_websocket_upgrade()

    def on_body(self, body: bytes) -> None:
        """Pass the body to its request. The app is woken only when the minimum prefix has arrived."""
        self.body_bytes += len(body)
        cycle = self.receiving
        if cycle is None or cycle.response_complete:
            return
        cycle.body += body
        if self.body_bytes - self.body_start >= framing.MIN_BODY_PREFIX:
            if len(cycle.body) > MAX_BUFFERED_BODY:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        cycle = self.receiving
        if cycle is not None and not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()
        self.in_head, self.in_body, self.body_left = True, False, 0
        self.head_bytes, self.deadlines.at = 0, NEVER

    def on_response_complete(self) -> None:
        """Start the next request, or wait for it. The idle timeout is a deadline: a timer per request costs more."""
        self.server_state.total_requests += 1
        self._break_reference_cycle()
        if self.closing or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self.cycle = cycle
            if not self.head_bytes:
                self.deadlines.at = NEVER
            self._start_asgi_task(cycle, app)
        elif not self._unparsed:
            self.idle_since = time.monotonic()
            self.limits.mark_idle(self)
        if self._unparsed:
            self.parse_waiting()

    def _break_reference_cycle(self) -> None:
        """Drop the scope's reference to the request cycle, so that both are freed without the garbage collector."""
        if self.cycle is not None:
            cast("dict[str, Any]", self.cycle.scope).pop("extensions", None)

    def check_deadlines(self, now: float) -> None:
        """Close the connection if it is over its deadline, idle for too long, or below the minimum data rate.

        While reading is paused, also close it if the client has left: the event loop notices that only when it reads.
        """
        pending = self.transport.get_write_buffer_size()
        if self._upgraded and self.transport.is_closing() and not pending:  # its other protocol was told of the end
            self.open_connections.discard(self)
            self.limits.release(self)
        if self.flow.read_paused and self.deadlines.at != NEVER:
            self.deadlines.at = now + self.settings.header_timeout  # what is not read cannot arrive
        received = self.body_bytes if self.in_body and not self.flow.read_paused else None
        idle = now - self.idle_since > self.limits.idle_timeout(self)
        gone = self.flow.read_paused and has_left(self.transport.get_extra_info("socket"))
        if idle or gone or self.deadlines.exceeded(now, pending=pending, received=received):
            self.transport.abort()

    def reject(self, error: ParleyError) -> None:
        """Count the request, send an error response and close. If another response has begun, only count and close."""
        self.rejection = error
        responds = is_done(self.cycle) or (not self.pipeline and not self.cycle.response_started)
        if self.cycle is not None:
            self.cycle.disconnected = True  # the app may still wait or send; what it sends is discarded
        if not responds:
            self._hang_up(unread=True)
        self.closing, self.in_body, self.deadlines.at = True, False, time.monotonic() + CLOSE_TIMEOUT
        task = self.loop.create_task(self._count_and_send(error, responds))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _count_and_send(self, error: ParleyError, responds: bool) -> None:
        error = await count_refusal(self.count_refused, self.peer, forwarded_for(self.headers), error)
        if responds and not self.transport.is_closing():
            self._send_rejection(error)

    def _send_rejection(self, error: ParleyError) -> None:
        self.transport.write(error_response(error, self.settings.issuer()))
        self._hang_up(unread=True)

    def _hang_up(self, unread: bool) -> None:
        """Close after the pending writes. With ``unread`` request data, first discard it for up to CLOSE_TIMEOUT.

        A socket that is closed with unread data resets the connection, and the client may lose the response.
        """
        more = unread or self.pipeline or self._unparsed
        if not more or not self.transport.can_write_eof() or self.limits.too_many_refused(self):
            self.transport.close()
            return
        self.closing, self._unparsed = True, b""
        self.pipeline.clear()
        self.flow.release()
        self.flow.resume_reading()
        self.transport.write_eof()
        self.in_body, self.deadlines.at = False, time.monotonic() + CLOSE_TIMEOUT
