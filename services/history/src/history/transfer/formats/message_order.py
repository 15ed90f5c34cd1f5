"""Parents-first order of imported messages."""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from history.transfer.drafts import MAX_MESSAGES, MessageDraft

_EARLIEST = datetime.min.replace(tzinfo=UTC)


class InvalidConversation(ValueError):
    """The conversation cannot be imported: a code and the reason."""

    code: ClassVar[str]
    detail: ClassVar[str]


class InvalidMessageTree(InvalidConversation):
    """Two messages share a key, or the parents form a cycle."""

    code, detail = "broken_tree", "Two messages share an id, or their parents form a cycle."


class TooManyMessages(InvalidConversation):
    """The conversation has more than ``MAX_MESSAGES`` messages."""

    code, detail = "too_long", f"Must have at most {MAX_MESSAGES:,} messages."


def parents_first(messages: Sequence[MessageDraft]) -> list[MessageDraft]:
    """Return the messages by time, parents before children; raises InvalidMessageTree.

    A message whose parent is missing becomes a root.
    """
    by_key = {message.key: message for message in messages}
    if len(by_key) != len(messages):
        raise InvalidMessageTree
    children: dict[str | None, list[tuple[datetime, int, MessageDraft]]] = defaultdict(list)
    for index, message in enumerate(messages):
        parent = message.parent if message.parent in by_key else None
        children[parent].append((message.created_at or _EARLIEST, index, message))
    waiting = children[None]
    heapq.heapify(waiting)
    ordered: list[MessageDraft] = []
    while waiting:
        _, _, message = heapq.heappop(waiting)
        ordered.append(message)
        for child in children[message.key]:
            heapq.heappush(waiting, child)
    if len(ordered) != len(messages):
        raise InvalidMessageTree
    return ordered
