"""IDs of the Responses API: a prefix and the ID of the turn, conversation or message, both ways without a table."""

import re
from uuid import UUID

_ID = re.compile(r"(?:resp|conv|msg|rs|fc|fco)_([0-9a-f]{32})(?:_(?:i?[0-9]{1,4}))?\Z")


def response_id(turn_id: UUID) -> str:
    """Return the ID of a turn as a response."""
    return f"resp_{turn_id.hex}"


def conversation_id(found: UUID) -> str:
    """Return the ID of a conversation."""
    return f"conv_{found.hex}"


def item_id(prefix: str, turn_id: UUID, position: int | str = 0) -> str:
    """Return the ID of an item. The first item of a turn has no position."""
    return f"{prefix}_{turn_id.hex}" + (f"_{position}" if position else "")


def parse(given: str, prefix: str) -> UUID | None:
    """Return the ID behind ``resp_…``, ``conv_…`` or an item's prefix; None if it is not one. A UUID is itself."""
    match = _ID.match(given)
    if match is not None:
        return UUID(match[1]) if given.startswith(f"{prefix}_") else None
    try:
        found = UUID(given)
    except ValueError:
        return None
    return found if str(found) == given else None
