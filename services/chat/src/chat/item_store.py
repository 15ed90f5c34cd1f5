"""Interface of the store for items that users put into conversations, or delete from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from chat.model import IdempotencyKey, Turn


@dataclass(frozen=True, slots=True)
class NewItems:
    """Turns to store one after the other in their conversation, as ended turns.

    Refused if ``follows_latest`` and the newest answer is no longer ``expected_latest``. The other members are those of
    a new turn.
    """

    turns: Sequence[Turn]
    first_number: int = 1
    adopted: bool = False
    head: UUID | None = None
    follows_latest: bool = False
    expected_latest: UUID | None = None


@dataclass(frozen=True, slots=True)
class InsertedItems:
    """Turns that an earlier request with an idempotency key has stored; none if their conversation is deleted."""

    turns: list[Turn]
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class ItemPlace:
    """Where an item is: its turn, its type, and its place in the input, or among the turn's output of its type."""

    turn_id: UUID
    kind: str
    place: int
    in_input: bool


class ItemStore(Protocol):
    """Transactional store of items. Every method raises DependencyUnavailable."""

    async def insert(self, new: NewItems, key: IdempotencyKey | None) -> list[Turn] | None:
        """Store turns with their terminal events atomically, and return them with their numbers.

        None if another request has used the key. Raises TurnRefused, TurnInProgress and Erased.
        """
        ...

    async def inserted(self, key: IdempotencyKey) -> InsertedItems | None:
        """Return the turns that a request with an idempotency key has stored, None if it is unused or expired."""
        ...

    async def delete(self, user_id: UUID, conversation_id: UUID, item: ItemPlace) -> bool:
        """Delete an item from its turn, and atomically from those that share it, each with ``turn.redacted``.

        Return False if the user's conversation has no such item. Raises TurnInProgress.
        """
        ...
