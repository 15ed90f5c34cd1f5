"""Pages of lists in OpenAI's form."""

from collections.abc import Sequence
from typing import Any


def page(
    items: Sequence[dict[str, Any]], limit: int, after: str | None, *, more: bool = False
) -> dict[str, Any] | None:
    """Return the items behind the one with the ID ``after``; None if there is none.

    ``more``: the list goes on behind ``items``.
    """
    start = 0
    if after is not None:
        start = next((index for index, item in enumerate(items, 1) if item["id"] == after), -1)
        if start < 0:
            return None
    return first_page(items[start:], limit, more=more)


def first_page(items: Sequence[dict[str, Any]], limit: int, *, more: bool = False) -> dict[str, Any]:
    """Return the first items of a list. ``more``: the list goes on behind ``items``."""
    found, has_more = list(items[:limit]), more or len(items) > limit
    first, last = (found[0]["id"], found[-1]["id"]) if found else (None, None)
    return {"object": "list", "data": found, "first_id": first, "last_id": last, "has_more": has_more}
