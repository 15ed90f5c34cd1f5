"""HTTP protocol of services behind the gateway: limits on connections, and deadlines for heads, bodies and idling."""

import asyncio
from http import HTTPStatus

import orjson

from parley.errors import ParleyError
from parley.ids import new_id
from parley.process.descriptors import descriptor_limit
from parley.web import problems
from parley.web.http_protocol import BoundedHttpProtocol, FlowControl, RequestResponseCycle
from parley.web.tcp_state import has_left

CONNECTION_SHARE = 2
"""The limit on open files divided by this is the maximum number of connections to a service."""
HEAD_TIMEOUT = 10.0
"""Seconds for a complete head, from its first byte; also from a new connection to its first request."""
BODY_TIMEOUT = 30.0
"""Seconds within a body without a byte, while the service reads it."""
IDLE_TIMEOUT = 75.0
"""Seconds between requests; must exceed the keep-alive time of the gateway's pool."""
CHECK_INTERVAL = 5.0
"""Seconds between two checks of a connection's deadline."""
EXTENSION = "parley.response_stream"
"""The key of the ResponseStream in the ASGI scope's ``extensions``."""
_NEVER = float("inf")


class ResponseStream:
    """Parts of a chunked response, written without the layers of the app: a stream has one for every token."""

    __slots__ = ("_flow", "_transport")

    def __init__(self, transport: asyncio.Transport, flow: FlowControl) -> None:
        self._transport, self._flow = transport, flow

    async def send(self, data: bytes) -> None:
        """Write a part of a body whose head was sent without a length. Wait first while the client is slower."""
        if self._flow.write_paused:
            await self._flow.drain()
        if data and not self._transport.is_closing():  # an empty chunk would end the body
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def send_now(self, data: bytes) -> bool:
        """Write a part that is not empty, if the client is fast enough; return whether it was written."""
        if self._flow.write_paused or self._transport.is_closing():
            return False
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True


class ServiceHttpProtocol(BoundedHttpProtocol):
    """One connection to a service. Half of the descriptors are kept for the service's own sockets."""

    _deadline = _NEVER
    _check: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start a connection, or close it if the connections of this server need too many descriptors."""
        super().connection_made(transport)
        self._response_stream = ResponseStream(self.transport, self.flow)
        if len(self.connections) > descriptor_limit() // CONNECTION_SHARE:
            self.transport.abort()
            return
        self._expect(HEAD_TIMEOUT)
        self.check_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        super().connection_lost(exc)
        if self._check is not None:
            self._check.cancel()

    def check_deadline(self) -> None:
        """Close the connection if the client is late or has left. Check again later."""
        if self._upgraded or self.transport.is_closing():
            return
        if self.flow.read_paused:
            late = has_left(self.transport.get_extra_info("socket"))
            if self._deadline != _NEVER:
                # Bytes that the service does not read cannot arrive.
                self._expect(HEAD_TIMEOUT if self.in_head else BODY_TIMEOUT)
        else:
            late = self.loop.time() > self._deadline
        if late:
            self.transport.abort()
        else:
            self._check = self.loop.call_later(CHECK_INTERVAL, self.check_deadline)

    def reject(self, error: ParleyError) -> None:
        """Send a problem and close. If another response has begun, only close."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not (cycle.response_started or self.pipeline):
            if cycle is not None:
                cycle.disconnected = True
            self.transport.write(_error_response(error))
        super().reject(error)

    def on_message_begin(self) -> None:
        """Begin a head, which must be complete in time."""
        super().on_message_begin()
        self._expect(HEAD_TIMEOUT)

    def on_headers_complete(self) -> None:
        """End a head."""
        super().on_headers_complete()
        if not self._upgraded:
            self.scope["extensions"] = {EXTENSION: self._response_stream}  # type: ignore[dict-item]
        self._expect(BODY_TIMEOUT)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        super().on_body(body)
        self._expect(BODY_TIMEOUT)

    def on_message_complete(self) -> None:
        """End a request. There is no deadline until the response is complete."""
        super().on_message_complete()
        self._deadline = _NEVER

    def on_response_complete(self) -> None:
        """End a response, and expect the next request unless one waits already."""
        if self._deadline == _NEVER and not self.pipeline:
            self._expect(IDLE_TIMEOUT)
        super().on_response_complete()

    def _expect(self, timeout: float) -> None:
        self._deadline = self.loop.time() + timeout


def _error_response(error: ParleyError) -> bytes:
    request_id = str(new_id())
    body = orjson.dumps(problems.problem_body(error, instance="", request_id=request_id, base_url=""))
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\ncontent-type: {problems.MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
