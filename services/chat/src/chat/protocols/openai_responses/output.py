"""Output items of a response and the events that report them, folded from the entries of a turn's log.

The fold is deterministic: a reader who has received some events gets the others from any replica, and the events
together give the same items as the stored turn.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson

from chat.model import LogEntry
from chat.protocols.openai_responses.ids import PREFIXES, item_id

Event = tuple[str, dict[str, Any]]
"""Type and members of an event, without its number."""
_DELTAS = {
    "reasoning": "reasoning_summary_text",
    "message": "output_text",
    "function_call": "function_call_arguments",
}
_PARTS = {"reasoning": "reasoning_summary_part", "message": "content_part"}
"""Names of events by the type of their item. The model's reasoning has the form of a summary, the one that OpenAI's
clients show."""


class _OutputItem:
    """One item while it grows."""

    def __init__(self, kind: str, identifier: str, index: int, call: dict[str, Any] | None = None) -> None:
        self.kind, self.id, self.index, self.done = kind, identifier, index, False
        self._call = call or {}
        self.name: str = self._call.get("function", {}).get("name", "")
        self._texts: list[str] = []
        self.logprobs: list[dict[str, Any]] = []

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def add(self, text: str) -> None:
        self._texts.append(text)

    def position(self) -> dict[str, Any]:
        """Return the members of an event that say where it belongs."""
        where: dict[str, Any] = {"item_id": self.id, "output_index": self.index}
        if self.kind == "function_call":
            return where
        return {**where, "summary_index" if self.kind == "reasoning" else "content_index": 0}

    def part(self, text: str) -> dict[str, Any]:
        """Return the only content part."""
        if self.kind == "reasoning":
            return {"type": "summary_text", "text": text}
        return {"type": "output_text", "annotations": [], "logprobs": self.logprobs if text else [], "text": text}

    def value(self, status: str, *, begun: bool = True) -> dict[str, Any]:
        """Return the item; without content before it has ``begun``."""
        text = self.text if begun else ""
        if self.kind == "function_call":
            call_id = self._call.get("id") or self.id
            members = {"arguments": text, "call_id": call_id, "name": self.name, "status": status}
            return {"id": self.id, "type": "function_call", **members}
        content = [self.part(text)] if begun else []
        if self.kind == "reasoning":
            return {"id": self.id, "type": "reasoning", "summary": content}
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}


class OutputFold:
    """Folds log entries into items and events."""

    def __init__(self, turn_id: UUID) -> None:
        self._turn_id = turn_id
        self._items: list[_OutputItem] = []
        self._open: _OutputItem | None = None
        self._calls: dict[int, _OutputItem] = {}

    def add(self, entry: LogEntry) -> list[Event]:
        """Return the events of one entry."""
        if not entry.tool_calls:
            if entry.reasoning:
                return self._grow("reasoning", entry.reasoning)
            return self._grow("message", entry.text, entry.logprobs) if entry.text or entry.logprobs else []
        events: list[Event] = []
        for delta in entry.tool_calls:
            events += self._call(delta)
        return events

    def finish(self, *, complete: bool) -> list[Event]:
        """Return the events that end the open items, and calls that grew after they had ended."""
        self._open = None
        last = "completed" if complete else "incomplete"
        return [event for item in self._items if not item.done for event in self._end(item, self._status(item, last))]

    def output(self, *, complete: bool, running: bool = False) -> list[dict[str, Any]]:
        """Return the items. The last one is ``incomplete`` unless the answer is ``complete``."""
        last = "in_progress" if running else "completed" if complete else "incomplete"
        return [item.value(self._status(item, last)) for item in self._items]

    def _status(self, item: _OutputItem, last: str) -> str:
        return last if item is self._items[-1] else "completed"

    def _grow(self, kind: str, text: str, logprobs: str = "") -> list[Event]:
        events: list[Event] = []
        item = self._open
        if item is None or item.kind != kind:
            item, events = self._begin(kind)
            events.append((f"response.{_PARTS[kind]}.added", {**item.position(), "part": item.part("")}))
        item.add(text)
        if not logprobs:
            return [*events, _delta(item, text)]
        found = orjson.loads(logprobs)
        item.logprobs += found
        return [*events, _delta(item, text, found)]

    def _call(self, delta: dict[str, Any]) -> list[Event]:
        item = self._calls.get(delta["index"])
        events: list[Event] = []
        if item is None:
            item, events = self._begin("function_call", delta)
            self._calls[delta["index"]] = item
        arguments = delta["function"].get("arguments", "")
        if not arguments:
            return events
        item.done = False
        item.add(arguments)
        return [*events, _delta(item, arguments)]

    def _begin(self, kind: str, call: dict[str, Any] | None = None) -> tuple[_OutputItem, list[Event]]:
        events = self._end(self._open, "completed") if self._open is not None and not self._open.done else []
        number = sum(item.kind == kind for item in self._items)
        identifier = item_id(PREFIXES[kind], self._turn_id, call["index"] if call else number)
        self._open = item = _OutputItem(kind, identifier, len(self._items), call)
        self._items.append(item)
        added = {"output_index": item.index, "item": item.value("in_progress", begun=False)}
        return item, [*events, ("response.output_item.added", added)]

    def _end(self, item: _OutputItem, status: str) -> list[Event]:
        item.done = True
        where, text = item.position(), item.text
        done: list[Event]
        if item.kind == "function_call":
            done = [("response.function_call_arguments.done", {**where, "name": item.name, "arguments": text})]
        else:
            logprobs = {"logprobs": item.logprobs} if item.kind == "message" else {}
            done = [
                (f"response.{_DELTAS[item.kind]}.done", {**where, "text": text, **logprobs}),
                (f"response.{_PARTS[item.kind]}.done", {**where, "part": item.part(text)}),
            ]
        return [*done, ("response.output_item.done", {"output_index": item.index, "item": item.value(status)})]


def _delta(item: _OutputItem, text: str, logprobs: Sequence[dict[str, Any]] = ()) -> Event:
    given = {"logprobs": logprobs} if item.kind == "message" else {}
    return f"response.{_DELTAS[item.kind]}.delta", {**item.position(), "delta": text, **given}


def folded(turn_id: UUID, entries: Iterable[LogEntry]) -> OutputFold:
    """Return the fold of the entries of a turn."""
    fold = OutputFold(turn_id)
    for entry in entries:
        fold.add(entry)
    return fold
