"""Putting messages into an order in which parents come first."""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from history.transfer.drafts import DraftMessage

_BEGINNING = datetime.min.replace(tzinfo=UTC)


class BrokenTree(ValueError):
    """Two messages have one key, or parents go in a circle."""


def in_order(messages: Sequence[DraftMessage]) -> list[DraftMessage]:
    """Return the messages by time, parents before children; one whose parent is missing begins a branch.

    Raises BrokenTree.
    """
    by_key = {message.key: message for message in messages}
    if len(by_key) != len(messages):
        raise BrokenTree
    children: dict[str | None, list[tuple[datetime, int, DraftMessage]]] = defaultdict(list)
    for place, message in enumerate(messages):
        parent = message.parent if message.parent in by_key else None
        children[parent].append((message.created_at or _BEGINNING, place, message))
    waiting = children[None]
    heapq.heapify(waiting)
    ordered: list[DraftMessage] = []
    while waiting:
        _, _, message = heapq.heappop(waiting)
        ordered.append(message)
        for child in children[message.key]:
            heapq.heappush(waiting, child)
    if len(ordered) != len(messages):
        raise BrokenTree
    return ordered
