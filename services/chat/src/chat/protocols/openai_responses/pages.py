"""Pages of lists in OpenAI's form."""

from collections.abc import Sequence
from typing import Any

MAX_LIMIT = 100


def page(items: Sequence[dict[str, Any]], limit: int, after: str | None) -> dict[str, Any] | None:
    """Return the items behind the one with the ID ``after``; None if there is none."""
    start = 0
    if after is not None:
        start = next((index for index, item in enumerate(items, 1) if item["id"] == after), -1)
        if start < 0:
            return None
    return listed(list(items[start : start + limit]), has_more=len(items) > start + limit)


def listed(found: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Return a page of items."""
    first, last = (found[0]["id"], found[-1]["id"]) if found else (None, None)
    return {"object": "list", "data": found, "first_id": first, "last_id": last, "has_more": has_more}
