"""Numbered server-sent events of a response."""

from collections.abc import Callable
from typing import Any

import orjson

from chat.model import Turn
from chat.protocols.openai_responses.output import Event, OutputFold
from chat.protocols.openai_responses.resource import response, status_of, with_output
from chat.running.turn_updates import TurnDelta
from parley.web.event_stream import one_line
from parley.web.problems import openai_type

PENDING = "The answer is complete but cannot be stored at the moment. Retrieve the response later."
INTERRUPTED_STATUS = 503
INTERRUPTED = "The stream was interrupted. The response goes on: retrieve it with `stream=true`."


WriteEvent = Callable[[str, int, dict[str, Any]], bytes]
"""Writes an event of a type, a number and members."""


def sse_event(name: str, number: int, members: dict[str, Any]) -> bytes:
    """Return an event as a server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), one_line(_data(name, number, members)))


def json_line(name: str, number: int, members: dict[str, Any]) -> bytes:
    """Return an event as one line of JSON."""
    return _data(name, number, members) + b"\n"


class ResponseEvents:
    """Events of one response from number ``first`` on. The numbers do not depend on the reader or the replica."""

    def __init__(self, turn: Turn, first: int = 0, write: WriteEvent = sse_event) -> None:
        self._fold = OutputFold(turn.id)
        self._first, self._next = first, 0
        self._write_event = write

    def started(self, turn: Turn) -> bytes:
        """Return the events before any output."""
        found = with_output(turn, []) if turn.running else {**with_output(turn, []), **_AT_START}
        return self._write([(f"response.{name}", {"response": found}) for name in ("created", "in_progress")])

    def delta(self, update: TurnDelta) -> bytes:
        """Return the events of new entries."""
        return b"".join([self._write(self._fold.add(entry)) for entry in update.entries])

    def finished(self, turn: Turn) -> bytes:
        """Return the events that end the output and the response."""
        status = status_of(turn)
        last = self._write(self._fold.finish(complete=status == "completed"))
        if turn.log_lost:  # a reader may have more events than were stored
            self._next = max(self._next, self._first)
        name = "incomplete" if status == "cancelled" else status
        return last + self._write([(f"response.{name}", {"response": response(turn, turn.entries)})])

    def interrupted(self, code: str) -> bytes:
        """Return the event of a stream that ends before its response.

        SDKs read the object, others the members, and clients of the WebSocket the status. It has the number of the
        event before it, so that a reader who goes on behind it misses nothing.
        """
        message = PENDING if code == "finish_pending" else INTERRUPTED
        found: dict[str, Any] = {"code": code, "message": message, "param": None}
        last = max(self._next, self._first, 1) - 1
        error = {"type": openai_type(INTERRUPTED_STATUS, code), **found}
        return self._write_event("error", last, {**found, "status": INTERRUPTED_STATUS, "error": error})

    def _write(self, events: list[Event]) -> bytes:
        written = []
        for name, members in events:
            if self._next >= self._first:
                written.append(self._write_event(name, self._next, members))
            self._next += 1
        return b"".join(written)


def _data(name: str, number: int, members: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": name, "sequence_number": number, **members})


_AT_START: dict[str, Any] = {
    "status": "in_progress",
    "completed_at": None,
    "error": None,
    "incomplete_details": None,
    "usage": None,
}
"""Members of the first events of a response that has ended: they are as they were when it began."""
