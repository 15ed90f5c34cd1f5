"""Content blocks of a message and the events that report them, folded from the entries of a turn's log.

The fold is deterministic: a reader who has received some events gets the others from any replica, and the events
together give the same blocks as the stored turn.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import orjson
from pydantic import TypeAdapter

from chat.model import LogEntry

Event = dict[str, Any]
_OBJECT = TypeAdapter(dict[str, Any])
_DELTAS = {
    "thinking": ("thinking_delta", "thinking"),
    "text": ("text_delta", "text"),
    "tool_use": ("input_json_delta", "partial_json"),
}
"""Type of a delta and the member with its text, by the type of the block."""


class _ContentBlock:
    """One block while it grows."""

    def __init__(self, kind: str, index: int, members: dict[str, Any]) -> None:
        self.kind, self.index = kind, index
        self._members = members
        self._texts: list[str] = []

    def delta(self, text: str) -> Event:
        """Add a text and return its event."""
        self._texts.append(text)
        kind, member = _DELTAS[self.kind]
        return {"type": "content_block_delta", "index": self.index, "delta": {"type": kind, member: text}}

    def value(self) -> dict[str, Any]:
        """Return the block."""
        text = "".join(self._texts)
        if self.kind == "tool_use":
            return {"type": self.kind, **self._members, "input": tool_input(text)}
        return {"type": self.kind, self.kind: text, **self._members}


def tool_input(arguments: str) -> dict[str, Any]:
    """Return the arguments of a call as an object, as far as they are complete; empty for anything else."""
    try:
        found = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return _complete_part(arguments)
    return found if isinstance(found, dict) else {}


def _complete_part(arguments: str) -> dict[str, Any]:
    try:
        found = _OBJECT.validate_json(arguments, experimental_allow_partial=True)
        orjson.dumps(found)
    except (ValueError, TypeError):  # no object, or a number of more than 64 bits
        return {}
    return found


class ContentFold:
    """Folds log entries into blocks and events."""

    def __init__(self, turn_id: UUID) -> None:
        self._turn_id = turn_id
        self._blocks: list[_ContentBlock] = []
        self._open: _ContentBlock | None = None
        self._calls: dict[int, _ContentBlock] = {}

    def add(self, entry: LogEntry) -> list[Event]:
        """Return the events of one entry."""
        if entry.tool_calls:
            return [event for delta in entry.tool_calls for event in self._call(delta)]
        if entry.reasoning:
            return self._grow("thinking", entry.reasoning, {"signature": ""})
        return self._grow("text", entry.text, {"citations": None}) if entry.text else []

    def finish(self) -> list[Event]:
        """Return the event that ends the open block."""
        closed, self._open = self._open, None
        return [] if closed is None else [{"type": "content_block_stop", "index": closed.index}]

    def content(self) -> list[dict[str, Any]]:
        """Return the blocks."""
        return [block.value() for block in self._blocks]

    def _grow(self, kind: str, text: str, members: dict[str, Any]) -> list[Event]:
        block, events = self._open, list[Event]()
        if block is None or block.kind != kind:
            block, events = self._begin(kind, members)
        return [*events, block.delta(text)]

    def _call(self, delta: dict[str, Any]) -> list[Event]:
        function, block, events = delta["function"], self._calls.get(delta["index"]), list[Event]()
        if block is None:
            identifier = delta.get("id") or f"toolu_{self._turn_id.hex}_{len(self._calls)}"
            members = {"id": identifier, "name": function.get("name", ""), "caller": {"type": "direct"}}
            block, events = self._begin("tool_use", members)
            self._calls[delta["index"]] = block
        arguments = function.get("arguments", "")
        return [*events, block.delta(arguments)] if arguments else events

    def _begin(self, kind: str, members: dict[str, Any]) -> tuple[_ContentBlock, list[Event]]:
        events = self.finish()
        self._open = block = _ContentBlock(kind, len(self._blocks), members)
        self._blocks.append(block)
        return block, [*events, {"type": "content_block_start", "index": block.index, "content_block": block.value()}]


def content_of(turn_id: UUID, entries: Iterable[LogEntry]) -> list[dict[str, Any]]:
    """Return the blocks of the entries of a turn."""
    fold = ContentFold(turn_id)
    for entry in entries:
        fold.add(entry)
    return fold.content()
