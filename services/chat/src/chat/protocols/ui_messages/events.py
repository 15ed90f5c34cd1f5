"""UI message stream of the AI SDK, folded from the entries of a turn's log."""

from typing import Any

import orjson

from chat.model import LogEntry, Turn
from chat.protocols.anthropic_messages.content import tool_input
from chat.protocols.openai_chat.projection import failed
from chat.protocols.parley.projection import cost_fields
from chat.running.turn_updates import TurnDelta
from parley.web.event_stream import one_line

Event = dict[str, Any]
HEADERS = {"X-Vercel-AI-UI-Message-Stream": "v1"}
DONE = b"[DONE]"
INTERRUPTED = "The answer was interrupted."
PENDING = "The answer is complete but cannot be stored at the moment. Reload the conversation later."
_FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "budget": "length",
    "deadline": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
}


class _ToolCall:
    """A tool call while its arguments grow."""

    def __init__(self, call_id: str, name: str) -> None:
        self._ids: Event = {"toolCallId": call_id}
        self._name: Event = {"toolName": name, "dynamic": True}
        self._arguments: list[str] = []

    def begin(self) -> Event:
        return {"type": "tool-input-start", **self._ids, **self._name}

    def delta(self, arguments: str) -> Event:
        self._arguments.append(arguments)
        return {"type": "tool-input-delta", **self._ids, "inputTextDelta": arguments}

    @property
    def is_whole(self) -> bool:
        """Tell whether the arguments are complete."""
        try:
            return isinstance(orjson.loads("".join(self._arguments)), dict)
        except orjson.JSONDecodeError:
            return False

    def end(self) -> Event:
        return {
            "type": "tool-input-available",
            **self._ids,
            **self._name,
            "input": tool_input("".join(self._arguments)),
        }


class UiMessageEvents:
    """Events of one answer after the ``first``. They do not depend on the reader or the replica."""

    def __init__(self, turn: Turn, first: int = 0) -> None:
        self._turn_id = turn.id
        self._first, self._next = first, 0
        self._open: tuple[str, str] | None = None
        self._parts = 0
        self._calls: dict[int, _ToolCall] = {}

    def started(self, turn: Turn) -> bytes:
        """Return the events before any content. An answer to tool results goes on with the message of the calls."""
        conversation = str(turn.conversation_id) if turn.conversation_id else None
        known = {"turn_id": str(turn.id), "conversation_id": conversation, "model": turn.model}
        named = {} if turn.continues else {"messageId": str(turn.id)}
        return self._write([{"type": "start", **named, "messageMetadata": known}, {"type": "start-step"}])

    def delta(self, update: TurnDelta) -> bytes:
        """Return the events of new entries."""
        return b"".join([self._write(self._add(entry)) for entry in update.entries])

    def finished(self, turn: Turn) -> bytes:
        """Return the events that end the answer."""
        last = self._write(self._end_part() + self._end_calls(turn))
        if turn.log_lost:  # a reader may have more events than were stored
            self._next = max(self._next, self._first)
        if turn.status == "cancelled":
            return last + self._write([{"type": "abort", "reason": "cancelled"}], DONE)
        if failed(turn):
            text = turn.error.message if turn.error else INTERRUPTED
            return last + self._write([{"type": "error", "errorText": text}], DONE)
        usage = turn.usage.model_dump() if turn.usage else None
        known = {"status": turn.status, "finish_reason": turn.finish_reason, "usage": usage, **cost_fields(turn)}
        reason = _FINISH_REASONS.get(turn.finish_reason or "", "other")
        finish = {"type": "finish", "finishReason": reason, "messageMetadata": known}
        return last + self._write([{"type": "finish-step"}, finish], DONE)

    def interrupted(self, code: str) -> bytes:
        """Return the event of a stream that ends before its answer."""
        self._next = max(self._next, self._first)
        text = PENDING if code == "finish_pending" else INTERRUPTED
        return self._write([{"type": "error", "errorText": text}], DONE)

    def _add(self, entry: LogEntry) -> list[Event]:
        if entry.tool_calls:
            return [event for delta in entry.tool_calls for event in self._call(delta)]
        kind, text = ("reasoning", entry.reasoning) if entry.reasoning else ("text", entry.text)
        return self._grow(kind, text) if text else []

    def _grow(self, kind: str, text: str) -> list[Event]:
        found: list[Event] = []
        if self._open is None or self._open[0] != kind:
            found = self._end_part()
            self._open = kind, f"{kind}-{self._parts}"
            self._parts += 1
            found.append({"type": f"{kind}-start", "id": self._open[1]})
        return [*found, {"type": f"{kind}-delta", "id": self._open[1], "delta": text}]

    def _call(self, delta: Event) -> list[Event]:
        function, call, found = delta["function"], self._calls.get(delta["index"]), self._end_part()
        if call is None:
            identifier = delta.get("id") or f"call_{self._turn_id.hex}_{len(self._calls)}"
            call = self._calls[delta["index"]] = _ToolCall(identifier, function.get("name", ""))
            found.append(call.begin())
        arguments = function.get("arguments", "")
        return [*found, call.delta(arguments)] if arguments else found

    def _end_part(self) -> list[Event]:
        ended, self._open = self._open, None
        return [] if ended is None else [{"type": f"{ended[0]}-end", "id": ended[1]}]

    def _end_calls(self, turn: Turn) -> list[Event]:
        """Return the events after which the frontend runs the calls: none for a call whose arguments are cut."""
        if turn.status == "cancelled" or failed(turn):
            return []
        ended = turn.finish_reason in {"stop", "tool_calls"}
        return [call.end() for call in self._calls.values() if ended or call.is_whole]

    def _write(self, events: list[Event], *last: bytes) -> bytes:
        written = []
        for data in [*map(orjson.dumps, events), *last]:
            if self._next >= self._first:
                written.append(b"data: %b\n\n" % one_line(data))
            self._next += 1
        return b"".join(written)
