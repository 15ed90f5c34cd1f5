"""Server-sent events of a message."""

import orjson

from chat.model import EMPTY_USAGE, Turn
from chat.protocols.anthropic_messages.content import ContentFold, Event
from chat.protocols.anthropic_messages.message import (
    INTERRUPTED,
    NOT_OFFERED,
    PENDING,
    error,
    started_message,
    stop_reason,
    usage,
)
from chat.protocols.openai_chat.projection import failed
from chat.running.turn_updates import TurnDelta
from parley.web.event_stream import one_line
from parley.web.problems import anthropic_error


class MessageEvents:
    """Events of one message after the ``first``. They do not depend on the reader or the replica."""

    def __init__(self, turn: Turn, first: int = 0) -> None:
        self._turn, self._fold = turn, ContentFold(turn.id)
        self._first, self._next = first, 0

    def started(self, turn: Turn) -> bytes:
        """Return the events before any content."""
        return self._write([{"type": "message_start", "message": started_message(turn)}, {"type": "ping"}])

    def delta(self, update: TurnDelta) -> bytes:
        """Return the events of new entries."""
        return b"".join([self._write(self._fold.add(entry)) for entry in update.entries])

    def finished(self, turn: Turn) -> bytes:
        """Return the events that end the content and the message, or an error."""
        last = b"" if failed(turn) else self._write(self._fold.finish())
        if turn.log_lost:  # a reader may have more events than were stored
            self._next = max(self._next, self._first)
        if failed(turn):
            return last + self._write([error(turn)])
        ended = {"stop_reason": stop_reason(turn), **NOT_OFFERED}
        used = usage(turn.usage or EMPTY_USAGE)
        return last + self._write([{"type": "message_delta", "delta": ended, "usage": used}, {"type": "message_stop"}])

    def interrupted(self, code: str) -> bytes:
        """Return the event of a stream that ends before its message."""
        self._next = max(self._next, self._first)
        text = PENDING if code == "finish_pending" else INTERRUPTED
        return self._write([anthropic_error(500, code, text, self._turn.request_id)])

    def _write(self, events: list[Event]) -> bytes:
        written = []
        for event in events:
            if self._next >= self._first:
                data = one_line(orjson.dumps(event))
                written.append(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), data))
            self._next += 1
        return b"".join(written)
