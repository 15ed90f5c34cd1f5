"""Incremental parser of an upstream's HTTP/1.1 response: its state, and the callbacks of httptools."""

from collections import deque

import httptools

from gateway.http import EMPTY_NAMES, Header, connection_options
from gateway.upstream.failures import ConnectionBroken

MAX_SHORT_BODY = 16_384
"""Bytes of a response that is read to its end before it is relayed. It must stay below the connection's buffer."""
BODILESS = frozenset({204, 304})
_MAX_SHORT_DIGITS = len(str(MAX_SHORT_BODY))
_SWITCHING_PROTOCOLS, _OK = 101, 200


class ResponseParser:
    """The response that is being received. ``reset`` prepares for the next one on the same connection."""

    # Slots save about a kilobyte per open stream.
    __slots__ = (
        "_buffered", "_chunks", "_expects_body", "_framed", "_keep_alive", "_parser", "_short",
        "complete", "connection_options", "head_complete", "headers", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._expects_body = False
        self._keep_alive = True
        self.status = 0
        self.headers: list[Header] = []
        self.connection_options: frozenset[bytes] = EMPTY_NAMES
        self.head_complete = self.complete = False

    def reset(self, method: str) -> None:
        """Prepare for the response to a request. A body that a cancelled reader left behind is not part of it."""
        self._chunks.clear()
        self._buffered = 0
        if not self._expects_body:  # after a HEAD request, the parser still waits for a body that never comes
            self._parser = httptools.HttpResponseParser(self)
        self._expects_body = method != "HEAD"
        self._clear_head()
        self.head_complete = self.complete = False

    @property
    def closes_connection(self) -> bool:
        """Whether the response has ``Connection: close``."""
        return (
            self.head_complete
            and not self._keep_alive
            and any(name == b"connection" and b"close" in value.lower() for name, value in self.headers)
        )

    # Callbacks of httptools.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_complete:  # a trailer; trailers are not relayed
            return
        name = name.lower()
        self.headers.append((name, value))
        if name == b"content-length":
            self._framed, self._short = True, _is_short(value)
        elif name == b"transfer-encoding":
            self._framed = True
        elif name == b"connection":
            self.connection_options |= connection_options(value)

    def on_headers_complete(self) -> None:
        if self.complete:  # another response, which nobody requested
            raise ConnectionBroken
        status = self._parser.get_status_code()
        if status == _SWITCHING_PROTOCOLS:
            raise ConnectionBroken
        if status < _OK:
            self._clear_head()
            return
        self.status = status
        self.head_complete = True
        self._keep_alive = self._parser.should_keep_alive()
        if not self._expects_body or status in BODILESS:
            self.complete = True

    def on_body(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)

    def on_message_complete(self) -> None:
        if self.head_complete:
            self.complete = True

    def _clear_head(self) -> None:
        self.headers = []
        self.connection_options = EMPTY_NAMES
        self._framed = self._short = False


def _is_short(length: bytes) -> bool:
    return len(length) <= _MAX_SHORT_DIGITS and length.isdigit() and int(length) <= MAX_SHORT_BODY
