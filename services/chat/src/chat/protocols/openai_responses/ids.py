"""IDs of the Responses API: a prefix and the ID of the turn, conversation or message, both ways without a table."""

import re
from uuid import UUID

from parley.ids import parse_id

PREFIXES = {
    "reasoning": "rs",
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "compaction": "cmp",
}
"""Prefixes of items by type."""
_ID = re.compile(r"(?:resp|conv|msg|rs|fc|fco|cmp)_([0-9a-f]{32})(?:_(?:i?[0-9]{1,4}))?\Z")


def response_id(turn_id: UUID) -> str:
    """Return the ID of a turn as a response."""
    return f"resp_{turn_id.hex}"


def conversation_id(found: UUID) -> str:
    """Return the ID of a conversation."""
    return f"conv_{found.hex}"


def item_id(prefix: str, turn_id: UUID, position: int | str = 0) -> str:
    """Return the ID of an item: its position among those of its type, none for the first; ``i0`` … in the input."""
    return f"{prefix}_{turn_id.hex}" + (f"_{position}" if position else "")


def parse(given: str, prefix: str) -> UUID | None:
    """Return the ID behind ``resp_…``, ``conv_…`` or an item's prefix; None if it is not one. A UUID is itself."""
    match = _ID.match(given)
    if match is not None:
        return UUID(match[1]) if given.startswith(f"{prefix}_") else None
    return parse_id(given)


def turn_of_item(given: str) -> UUID | None:
    """Return the turn that an item belongs to; None for anything else."""
    match = _ID.match(given)
    return UUID(match[1]) if match is not None and not given.startswith(("resp_", "conv_")) else None
