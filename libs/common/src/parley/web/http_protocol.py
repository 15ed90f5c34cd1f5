"""HTTP protocol of every server: uvicorn's httptools protocol with bounded pipelining and bounded heads.

A client may send requests without waiting for responses. uvicorn parses all that has arrived, so that one small packet
becomes thousands of objects. This protocol gives the parser at most one request head at a time, and nothing while
``MAX_WAITING_REQUESTS`` requests wait. It ignores trailers, and bounds them like a head.
"""

import asyncio
from typing import Any, NoReturn, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from parley import errors
from parley.errors import ParleyError
from parley.web.read_flow import ReadFlow
from parley.web.request_heads import body_length, head_without_upgrade

__all__ = ["BoundedHttpProtocol", "FlowControl", "RequestResponseCycle"]

MAX_WAITING_REQUESTS = 16
"""Parsed requests of one connection that wait for the response before them."""
MAX_PIECES = 64
"""Pieces of received data that one connection parses before other connections have their turn."""
VERSIONS = frozenset({"1.0", "1.1"})
"""Versions of HTTP in a request line. The parser would also accept 0.9 and 2.0."""
MAX_HEAD_BYTES, MAX_HEAD_FIELDS = 131_072, 300
"""Largest request head that a service accepts. The gateway's own limits are lower."""
HEAD_END = b"\r\n\r\n"
"""The end of every request head, and of every chunked body."""


class RequestRejected(Exception):
    """Stops the parser, because ``rejection`` is set."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection, with at most ``MAX_WAITING_REQUESTS`` parsed requests that wait."""

    flow: ReadFlow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.body_left: int | None = 0
        """Bytes of the current body that are not parsed yet, or CHUNKED."""
        self._unparsed, self._position = b"", 0
        self._tail = b""
        self._upgraded = False
        self.max_head_bytes, self.max_head_fields = MAX_HEAD_BYTES, MAX_HEAD_FIELDS
        self.in_head = True
        self.head_bytes = self.head_fields = self.heads = 0
        self.body_bytes = 0
        self._framing_bytes = 0
        """Bytes since the last part of a body: chunk extensions and trailers, which the parser collects."""
        self.rejection: ParleyError | None = None
        """Why the connection accepts no more requests."""
        self._repeated_head = b""
        """The head to parse again, without the upgrade that the server ignores."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start a connection."""
        super().connection_made(cast("asyncio.Transport", transport))
        self.flow = ReadFlow(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection, and free the requests that wait without the garbage collector."""
        super().connection_lost(exc)
        self.pipeline.clear()
        self._unparsed = b""

    def data_received(self, data: bytes) -> None:
        """Parse received data as far as requests may wait."""
        if self.rejection is not None:
            return
        if self._unparsed:  # read by the transport before reading was paused
            self._unparsed += data
        elif not (self.pipeline or self._tail or self.body_left) and data.find(HEAD_END) == len(data) - len(HEAD_END):
            self.parse_piece(data)  # exactly one head, which is the usual case
        else:
            self._parse(data, 0)

    def parse_piece(self, piece: bytes) -> None:
        """Parse data with the end of at most one request head."""
        was_in_head, heads, body_bytes = self.in_head, self.heads, self.body_bytes
        super().data_received(piece)
        if self.rejection is not None:
            return
        if was_in_head:
            # Data that ended a head or a body belongs to it. The fields of a following head are counted in on_header.
            self.head_bytes += len(piece) if self.heads == heads else 0
        else:
            self._framing_bytes = self._framing_bytes + len(piece) if self.body_bytes == body_bytes else 0
        if max(self.head_bytes, self._framing_bytes) > self.max_head_bytes:
            self.reject(errors.HeadersTooLarge())

    def can_parse(self) -> bool:
        """Return whether the connection still expects requests."""
        return self.rejection is None and not self._upgraded and not self.transport.is_closing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the signature is uvicorn's
        """Reject a request that cannot be parsed, or that a callback rejected."""
        self.reject(self.rejection or errors.InvalidRequest("This is not a valid HTTP request."))

    def reject(self, error: ParleyError) -> None:
        """Accept no more requests, and close the connection. Subclasses send the error."""
        self.rejection = error
        self.transport.close()

    def stop_parsing(self, error: ParleyError) -> NoReturn:
        """Reject the request that is being parsed. For callbacks of the parser."""
        self.rejection = error
        raise RequestRejected

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self.in_head, self.head_fields = True, 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the request target."""
        super().on_url(url)
        if len(self.url) > self.max_head_bytes:
            self.stop_parsing(errors.HeadersTooLarge())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field."""
        if not self.in_head:  # a trailer
            return
        self.head_fields += 1
        self.head_bytes += len(name) + len(value) + 4
        if self.head_fields > self.max_head_fields or self.head_bytes > self.max_head_bytes:
            self.stop_parsing(errors.HeadersTooLarge())
        # The same as uvicorn's method. A call of it for every field would cost as much as the rest.
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def parse_waiting(self) -> None:
        """Parse data that was held back, as far as requests may wait now."""
        data, self._unparsed = self._unparsed, b""
        if data:
            self._parse(data, self._position)

    def on_headers_complete(self) -> None:
        """Note the length of the body, and queue or start the request."""
        self.end_head()
        if self.parser.get_http_version() not in VERSIONS:
            self.stop_parsing(errors.InvalidRequest("The only supported versions of HTTP are 1.1 and 1.0."))
        self.body_left = body_length(self.headers)
        if self.parser.should_upgrade() and self.decline_upgrade():
            return
        super().on_headers_complete()

    def end_head(self) -> None:
        """End a head, so that the next one is counted from zero."""
        self.in_head, self.head_bytes, self._framing_bytes = False, 0, 0
        self.heads += 1

    def decline_upgrade(self) -> bool:
        """Decline the upgrade of this head unless it is to WebSocket; return whether it was declined (RFC 9110, 7.8).

        The head is then parsed again without it, because the parser reads no body after an upgrade. Reject a WebSocket
        while an earlier request is open: its response would be lost in the new protocol.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.stop_parsing(errors.InvalidRequest("The method CONNECT is not supported."))
        if not self._should_upgrade():
            version = self.parser.get_http_version()
            self._repeated_head = head_without_upgrade(method, self.url, version, self.headers)
            return True
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self.stop_parsing(errors.InvalidRequest("Upgrade a connection only when it has no other open request."))
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Parse the head of an ignored upgrade again. uvicorn calls this at the end of the head."""
        head, self._repeated_head = self._repeated_head, b""
        self.parser = httptools.HttpRequestParser(self)  # the old one reads nothing after `Connection: close`
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn
        super().data_received(head)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self.body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body."""
        self.in_head, self.head_bytes, self.body_left = True, 0, 0
        if not self._repeated_head:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the next request, and parse what was held back."""
        super().on_response_complete()
        self.parse_waiting()

    def handle_websocket_upgrade(self) -> None:
        """Switch to the WebSocket protocol, and parse nothing more."""
        self._upgraded = True
        super().handle_websocket_upgrade()

    def _parse(self, data: bytes, start: int) -> None:
        pieces = 0
        while start < len(data) and self.can_parse():
            if pieces == MAX_PIECES or len(self.pipeline) >= MAX_WAITING_REQUESTS:
                self._hold(data, start)
                return
            end = self._piece_end(data, start)
            self.parse_piece(data if end - start == len(data) else data[start:end])
            start = end
            pieces += 1
        if self.flow.held and self.can_parse():
            self.flow.release()

    def _hold(self, data: bytes, start: int) -> None:
        """Keep the rest, and read no more until it is parsed."""
        self._unparsed, self._position = data, start
        self.flow.hold()
        if len(self.pipeline) < MAX_WAITING_REQUESTS:
            self.loop.call_soon(self.parse_waiting)

    def _piece_end(self, data: bytes, start: int) -> int:
        """Return the end of the known body, else of the head, else of the data."""
        tail, self._tail = self._tail, b""
        if self.body_left:
            end = min(len(data), start + self.body_left)
            self.body_left -= end - start
            return end
        if tail:
            found = (tail + data[start : start + len(HEAD_END) - 1]).find(HEAD_END)
            if found >= 0:
                return start + found + len(HEAD_END) - len(tail)
        found = data.find(HEAD_END, start)
        if found >= 0:
            return found + len(HEAD_END)
        self._tail = (tail + data[max(start, len(data) - len(HEAD_END) + 1) :])[1 - len(HEAD_END) :]
        return len(data)
