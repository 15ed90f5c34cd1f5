"""Server-sent events: event boundaries in a relayed stream, and the final event of an interrupted one."""

from collections.abc import Iterable
from typing import Any

import orjson

from gateway.errors import StreamTerminated
from gateway.http import Header
from parley.errors import ParleyError
from parley.web.problems import ErrorFormat, anthropic_error, openai_type

MAX_BUFFERED = 65_536
"""Bytes of an incomplete event that are buffered. A longer event is relayed in pieces."""
MEDIA_TYPE = b"text/event-stream"
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n")
_BETWEEN_EVENTS = (b":", b"\n", b"\r\n")


class SseFramer:
    """Relays complete events and buffers the beginning of the next one, so that a stream ends between two events."""

    def __init__(self) -> None:
        self._buffer = b""
        self.at_boundary = True
        """Whether the relayed data ends between two events. False inside an event that is longer than the buffer."""

    def is_complete(self, data: bytes) -> bool:
        """Return whether the data consists of complete events, so that all of it is to be relayed."""
        return self.at_boundary and not self._buffer and data.endswith(b"\n\n")

    def feed(self, data: bytes) -> bytes:
        """Return the data to relay: up to the end of the last complete event, or of a comment after it."""
        if self.is_complete(data):
            return data
        data = self._buffer + data
        end = _last_boundary(data, starts_at_boundary=self.at_boundary)
        if len(data) - end > MAX_BUFFERED:
            self._buffer, self.at_boundary = b"", False
            return data
        if end:
            self.at_boundary = True
        self._buffer = data[end:]
        return data[:end]

    def flush(self) -> bytes:
        """Return the buffered data, for a stream that the service ended."""
        buffered, self._buffer = self._buffer, b""
        return buffered


def is_event_stream(headers: Iterable[Header]) -> bool:
    """Return whether a response is a stream of server-sent events."""
    return any(name == b"content-type" and value.startswith(MEDIA_TYPE) for name, value in headers)


def final_event(
    reason: StreamTerminated | ParleyError, *, shape: ErrorFormat, cursor: bytes = b"", request_id: str = ""
) -> bytes:
    """Return the event that ends an interrupted stream: a named event, or an error in OpenAI's or Anthropic's format.

    ``cursor``: the last event ID, with which the client can resume the stream.
    """
    if isinstance(reason, StreamTerminated):
        name, data = reason.event, reason.data
        code, message = name, "The stream was interrupted."
    else:
        name, data = "interrupted", {"code": reason.code} | ({"last_event_id": cursor.decode()} if cursor else {})
        code, message = reason.code, reason.detail
    if shape == "problem":
        return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"
    if shape == "anthropic":
        return b"event: error\ndata: " + orjson.dumps(anthropic_error(500, code, message, request_id)) + b"\n\n"
    error: dict[str, Any] = {"message": message, "type": openai_type(503, code), "param": None, "code": code}
    return b"data: " + orjson.dumps({"error": error}) + b"\n\n"


def _last_boundary(data: bytes, *, starts_at_boundary: bool) -> int:
    """Return the offset after the last complete event, and after the comments and blank lines that follow it."""
    ends = [found + len(mark) for mark in _EVENT_ENDS if (found := data.rfind(mark)) >= 0]
    if not ends and not starts_at_boundary:
        return 0
    end = max(ends, default=0)
    while data.startswith(_BETWEEN_EVENTS, end):
        line_end = data.find(b"\n", end)
        if line_end < 0:
            break
        end = line_end + 1
    return end
