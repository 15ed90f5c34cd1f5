"""Parser of streamed tool calls: tells calls apart, and completes what a provider leaves out."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chat.providers.call_signatures import signature_of, signed_id
from chat.providers.parsing import lenient_json
from chat.providers.parsing.json_object_end import JsonObjectEnd
from chat.providers.parsing.text_sanitizing import TextJoiner, storable
from chat.tool_call_limits import MAX_CALL_ID, MAX_CALL_NAME
from parley.ids import new_id

MAX_CALLS = 128
"""Tool calls of an answer. Further ones are dropped."""
MAX_HELD = 16_384
"""Characters of arguments that wait for the name of their call."""
LEGACY_INDEX = -1
"""Index of the only call of the old format, ``function_call``."""
PLACEHOLDER = "{}"


@dataclass(slots=True)
class _CallPart:
    """Part of a call, as received."""

    index: int | None
    id: str
    name: str
    arguments: str
    signature: str


@dataclass(slots=True)
class _Call:
    index: int
    id: str
    name: str = ""
    signature: str = ""
    announced: bool = False
    held: str = ""
    """Arguments that wait: for the name, or, if they are only ``{}``, for others that replace them."""
    text: TextJoiner = field(default_factory=TextJoiner)
    end: JsonObjectEnd = field(default_factory=JsonObjectEnd)

    @property
    def has_arguments(self) -> bool:
        return self.announced or bool(self.held)

    def differs_from(self, part: _CallPart) -> bool:
        """Tell whether a part with the place of this call begins another call."""
        if part.id and self.id and part.id != self.id:
            return True
        if not part.name or not self.has_arguments:
            return False
        if not part.name.startswith(self.name):
            return True
        return self.end.reached and bool(part.arguments.strip()) and not (part.id and part.id == self.id)


class ToolCallParser:
    """Turns the parts of tool calls into deltas that have an index, an id, a name once, and text as arguments.

    A call is announced with its first arguments, because its name may come in several parts.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[tuple[int | None, str], _Call] = {}
        self._ids: set[str] = set()

    def add(self, parts: Any, *, index: int | None = None) -> list[dict[str, Any]]:
        """Return the deltas of a ``tool_calls`` value. Entries that are not calls are dropped."""
        if not isinstance(parts, list):
            parts = [parts]
        entries = [entry for entry in parts if isinstance(entry, dict)]
        found: list[dict[str, Any]] = []
        for position, entry in enumerate(entries):
            part = _part(entry, index)
            call = self._find(part, position if len(entries) > 1 else len(self._calls) - 1)
            if call is not None:
                found += self._grow(call, part)
        return found

    def finish(self, *, cut: bool = False) -> list[dict[str, Any]]:
        """Return the deltas that were held back. A call without a name is dropped.

        Some servers send no arguments for a function without parameters. Unless the answer is ``cut``, they are ``{}``.
        """
        found: list[dict[str, Any]] = []
        for call in self._calls:
            rest = call.held + call.text.rest()
            call.held = ""
            if call.name and (rest or not call.announced):
                found.append(self._delta(call, rest if cut or rest.strip() else PLACEHOLDER))
        return found

    @property
    def found(self) -> bool:
        """Whether the answer has a tool call."""
        return any(call.name for call in self._calls)

    def _find(self, part: _CallPart, position: int) -> _Call | None:
        call = self._known(part, position)
        if call is not None and call.differs_from(part):
            call = self._by_id.get((part.index, part.id)) if part.id != call.id else None
        if call is None:
            if len(self._calls) == MAX_CALLS:
                return None
            call = _Call(len(self._calls), part.id)
            self._calls.append(call)
        if part.index is not None:
            self._by_index[part.index] = call
        if part.id:
            call.id = call.id or part.id
            self._by_id[part.index, part.id] = call
        return call

    def _known(self, part: _CallPart, position: int) -> _Call | None:
        if part.index is not None:
            return self._by_index.get(part.index)
        if part.id and (None, part.id) in self._by_id:
            return self._by_id[None, part.id]
        return self._calls[position] if 0 <= position < len(self._calls) else None

    def _grow(self, call: _Call, part: _CallPart) -> Iterator[dict[str, Any]]:
        if not call.announced and part.name:
            call.name = part.name if part.name.startswith(call.name) else call.name + part.name
        call.signature = call.signature or part.signature
        arguments = part.arguments
        if call.held.strip() == PLACEHOLDER and arguments.strip():
            call.held, call.end = "", JsonObjectEnd()
        arguments = call.text.add(call.end.cut(arguments))
        text, call.held = call.held + arguments, ""
        waits = not call.name or (not call.announced and text.strip() in {"", PLACEHOLDER})
        if waits:
            call.held = text[:MAX_HELD]
        elif text:
            yield self._delta(call, text)

    def _delta(self, call: _Call, arguments: str) -> dict[str, Any]:
        if call.announced:
            return {"index": call.index, "function": {"arguments": arguments}}
        call.announced = True
        known = storable(call.id)
        is_usable = 0 < len(known) <= MAX_CALL_ID and known not in self._ids
        identifier = known if is_usable else f"call_{new_id().hex}"
        self._ids.add(identifier)
        identifier = signed_id(identifier, call.signature)
        function = {"name": storable(call.name[:MAX_CALL_NAME]), "arguments": arguments}
        return {"index": call.index, "id": identifier, "type": "function", "function": function}


def _part(entry: dict[str, Any], index: int | None) -> _CallPart:
    function = entry.get("function")
    if not isinstance(function, dict):
        function = entry
    return _CallPart(
        _index(entry.get("index")) if index is None else index,
        _text(entry.get("id")),
        _text(function.get("name")),
        _arguments(function.get("arguments")),
        signature_of(entry),
    )


def _index(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != value // 1:
        return None
    return int(value)


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def _arguments(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else lenient_json.dumps(value)
