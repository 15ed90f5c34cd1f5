"""Deletion of an item of a conversation from the turn that it belongs to.

The item's content leaves every column of the turn. What stays is its place, because the IDs of the other items have
places in them, and the number of log entries, because cursors of streams count them.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Protocol
from uuid import UUID

from chat.input_items import DELETED, Item, deleted, items_of_turn, latest_user_items, user_text
from chat.item_store import ItemPlace
from chat.model import LogEntry, ToolResult, Turn
from chat.past_exchanges import call_places

_ITEM_ID = re.compile(r"(msg|rs|fc|fco)_([0-9a-f]{32})(?:_(i?)([0-9]{1,4}))?\Z")
_PREFIXES = {"msg": "message", "rs": "reasoning", "fc": "function_call", "fco": "function_call_output"}


class AnsweredMessage(Protocol):
    """The members of a turn that tell which message it answers."""

    @property
    def parent_id(self) -> UUID | None:
        """The ID of the answer before the message; None at the beginning of the conversation."""
        ...

    @property
    def regenerate(self) -> UUID | None:
        """The ID of the answer that the turn regenerates; None if the message is new."""
        ...

    @property
    def continues(self) -> bool:
        """Whether the turn answers the results of tool calls, not a message."""
        ...


def parse_place(item_id: str) -> ItemPlace | None:
    """Return the place that the ID of an item names, None if it is no such ID."""
    match = _ITEM_ID.match(item_id)
    if match is None:
        return None
    prefix, turn_id, is_input, place = match.groups()
    return ItemPlace(UUID(turn_id), _PREFIXES[prefix], int(place or 0), bool(is_input))


def revision(turn: Turn) -> int:
    """Return how many items of a turn were deleted."""
    return int((turn.response or {}).get("revision", 0))


def deleted_messages(turn: Turn) -> set[UUID]:
    """Return the messages of a turn of which nothing is left."""
    return {UUID(message) for message in (turn.response or {}).get("deleted_messages", ())}


def without(turn: Turn, item: ItemPlace) -> Turn | None:
    """Return the turn without an item, None if it has no such item."""
    return _without_input(turn, item) if item.in_input else _without_output(turn, item)


def without_shared(turn: Turn, item: ItemPlace, changed: Turn) -> Turn | None:
    """Return another turn with the user message of ``changed``, which has just lost an item of its input.

    A regeneration answers the same messages, so it loses the item too. A turn that continues has a copy of the text.
    """
    if turn.parent_id == changed.parent_id and turn.continues == changed.continues:
        return without(turn, item)
    if turn.continues and not changed.continues and turn.user_message != changed.user_message:
        return _revised(replace(turn, user_message=changed.user_message), (), {})
    return None


def repeats_older(turn: Turn, sharing: Iterable[AnsweredMessage]) -> bool:
    """Return whether a turn regenerates the answer to a message whose first turn is gone.

    History keeps that message with the first turn, so a deletion in a later one does not remove it there.
    ``sharing``: all turns with that message.
    """
    first = (one for one in sharing if one.parent_id == turn.parent_id and one.continues == turn.continues)
    return turn.regenerate is not None and all(one.regenerate is not None for one in first)


def _without_input(turn: Turn, item: ItemPlace) -> Turn | None:
    items = items_of_turn(turn)
    if item.place >= len(items) or items[item.place]["type"] != item.kind:
        return None
    gone, later = items[item.place], items[item.place + 1 :]
    left = [*items[: item.place], deleted(gone), *later]
    changed, messages = turn, set[UUID]()
    if item.kind == "function_call_output":
        changed, messages = _without_result(turn, sum(map(_is_output, later)))
    elif gone.get("role") == "user" and not turn.continues:
        changed = replace(turn, user_message=user_text(left))
        if all(one["type"] == DELETED for one in latest_user_items(left)):
            messages = {turn.user_message_id}
    return _revised(changed, messages, {"input": left})


def _is_output(item: Item) -> bool:
    """Tell whether an item is the output of a function, also a deleted one."""
    return item["type"] == "function_call_output" or item.get("role") == "tool"


def _without_result(turn: Turn, later: int) -> tuple[Turn, set[UUID]]:
    """Return the turn without the result that ``later`` ones follow. The results are the last outputs of the input."""
    place = len(turn.tool_results) - 1 - later
    if place < 0:
        return turn, set()
    results, gone = list(turn.tool_results), turn.tool_results[place]
    results[place] = ToolResult(gone.id, gone.tool_call_id, "")
    return replace(turn, tool_results=tuple(results)), {gone.id}


def _without_output(turn: Turn, item: ItemPlace) -> Turn | None:
    if item.kind == "message" and item.place == 0 and turn.content:
        entries = tuple(entry._replace(text="", reasoning="", logprobs="") for entry in turn.entries)
        return _answered(replace(turn, content="", entries=entries), {})
    if item.kind != "function_call" or not turn.tool_calls:
        return None
    gone = (turn.response or {}).get("deleted_calls", [])
    places = [place for place, _ in zip(call_places(gone), turn.tool_calls, strict=False)]
    if item.place not in places:
        return None
    calls = [call for place, call in zip(places, turn.tool_calls, strict=True) if place != item.place]
    # The log has numbers of its own: a call that a provider began and never named has one, too.
    numbers = sorted({delta["index"] for entry in turn.entries for delta in entry.tool_calls})
    number = dict(zip(places, numbers, strict=False)).get(item.place)
    entries = tuple(_without_call(entry, number) for entry in turn.entries)
    return _answered(replace(turn, tool_calls=calls or None, entries=entries), {"deleted_calls": [*gone, item.place]})


def _without_call(entry: LogEntry, number: int | None) -> LogEntry:
    return entry._replace(tool_calls=tuple(delta for delta in entry.tool_calls if delta["index"] != number))


def _answered(turn: Turn, members: dict[str, Any]) -> Turn:
    if turn.content or turn.tool_calls:
        return _revised(turn, (), members)
    nothing = tuple(LogEntry("") for _ in turn.entries)
    return _revised(replace(turn, entries=nothing), {turn.id}, members)


def _revised(turn: Turn, messages: Iterable[UUID], members: dict[str, Any]) -> Turn:
    gone = sorted(deleted_messages(turn).union(messages))
    state = {"revision": revision(turn) + 1, "deleted_messages": [str(message) for message in gone]}
    return replace(turn, response={**(turn.response or {}), **members, **state})
