"""Server-sent events in passing: where one ends, and how the gateway says its own last word."""

from typing import Any

import orjson

from gateway.errors import Interrupted
from parley.errors import ParleyError
from parley.web.problems import openai_type

MAX_HELD = 65_536
"""Bytes of an unfinished event that are held back; a longer one is passed on in pieces."""
BLANK_LINES = (b"\n\n", b"\r\n\r\n")
BETWEEN_EVENTS = (b":", b"\n", b"\r\n")
MEDIA_TYPE = b"text/event-stream"


class EventCutter:
    """Passes on whole events at once and holds back the beginning of one, so that a stream can always end cleanly."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._held = b""
        self.clean = True

    def feed(self, data: bytes) -> bytes:
        """Take what came, return what may go on: up to the last end of an event or of a comment between events."""
        if self.clean and not self._held and data.endswith(b"\n\n"):
            return data
        data = self._held + data
        end = _boundary(data, begin_is_clean=self.clean)
        if len(data) - end > MAX_HELD:
            self._held, self.clean = b"", False
            return data
        if end:
            self.clean = True
        self._held = data[end:]
        return data[:end]

    def rest(self) -> bytes:
        """Return what was held back, for an upstream that ended by itself."""
        held, self._held = self._held, b""
        return held


def last_word(reason: Interrupted | ParleyError, *, openai: bool) -> bytes:
    """Return the event that ends a stream: named, or OpenAI's in-stream error."""
    if isinstance(reason, Interrupted):
        name, data = reason.event, reason.data
        code, sentence = name, "The stream was interrupted."
    else:
        name, data = "interrupted", {"code": reason.code}
        code, sentence = reason.code, reason.detail
    if not openai:
        return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"
    error: dict[str, Any] = {"message": sentence, "type": openai_type(503, code), "param": None, "code": code}
    return b"data: " + orjson.dumps({"error": error}) + b"\n\n"


def _boundary(data: bytes, *, begin_is_clean: bool) -> int:
    """Return the offset behind the last complete event, and behind comments and blank lines that follow it."""
    ends = [found + len(mark) for mark in BLANK_LINES if (found := data.rfind(mark)) >= 0]
    if not ends and not begin_is_clean:
        return 0
    end = max(ends, default=0)
    while data.startswith(BETWEEN_EVENTS, end):
        line_end = data.find(b"\n", end)
        if line_end < 0:
            break
        end = line_end + 1
    return end
