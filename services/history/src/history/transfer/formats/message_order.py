"""Tree of imported messages: the nearest imported ancestor of a message, and the parents-first order."""

import heapq
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

from history.transfer.drafts import MAX_MESSAGES, MessageDraft

_EARLIEST = datetime.min.replace(tzinfo=UTC)


class InvalidConversation(ValueError):
    """The conversation cannot be imported: a code and the reason."""

    code: ClassVar[str]
    detail: ClassVar[str]


class InvalidMessageTree(InvalidConversation):
    """The parents of some messages form a cycle."""

    code, detail = "broken_tree", "The parents of some messages form a cycle."


class TooManyMessages(InvalidConversation):
    """The conversation has more than ``MAX_MESSAGES`` messages."""

    code, detail = "too_long", f"Must have at most {MAX_MESSAGES:,} messages."


class Ancestors:
    """Finds the nearest imported message at or above a message of the file. Each one is visited once.

    ``parents`` has the parent of each message of the file, also of those that are not imported.
    """

    def __init__(self, parents: Mapping[str, str | None], imported: Collection[str]) -> None:
        self._parents, self._imported = parents, imported
        self._nearest: dict[str, str | None] = {}

    def nearest(self, key: str | None) -> str | None:
        """Return the key of the message, or None when there is none up to the root."""
        path: list[str] = []
        while key is not None and key not in self._imported and key not in self._nearest:
            path.append(key)
            self._nearest[key] = None  # also ends a cycle
            key = self._parents.get(key)
        found = self._nearest.get(key, key) if key is not None else None
        self._nearest.update(dict.fromkeys(path, found))
        return found


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


def in_order(messages: Sequence[MessageDraft]) -> list[MessageDraft]:
    """Return the messages unchanged if parents come before children, else by time; raises InvalidMessageTree."""
    seen: set[str] = set()
    for message in messages:
        if message.parent is not None and message.parent not in seen:
            return parents_first(messages)
        seen.add(message.key)
    return list(messages)
