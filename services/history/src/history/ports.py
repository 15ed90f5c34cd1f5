"""What history needs of whatever stores it."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from uuid import UUID

from history.schemas import Archived, Conversation, Message, Owner, TurnDigest
from parley.cloudevents import CloudEvent
from parley.events import ConversationDeleted, TurnEnded, TurnStarted, UserErased

Outcome = Literal["stored", "unchanged", "usage", "deleted", "erased"]
Retention = Callable[[str], timedelta]
"""How long a plan keeps what was deleted."""
Hint = Callable[[], None]


class ForeignTurn(Exception):
    """An event names a turn or conversation of somebody else: it can never be stored."""


class Projection(Protocol):
    """Stores what events say. Each call is one transaction, and may be repeated."""

    async def project_turn(self, event: CloudEvent, data: TurnStarted | TurnEnded) -> Outcome:
        """Store what an event says of its turn, in any order; raises ForeignTurn."""
        ...

    async def erase(self, event: CloudEvent, data: UserErased) -> None:
        """Forget a person for good, and say so in the outbox."""
        ...


@dataclass(frozen=True, slots=True)
class ListFilter:
    """Which conversations of a person a list shows."""

    user_id: UUID
    archived: Archived = "false"
    title_part: str | None = None


class ConversationChange(Protocol):
    """A conversation held for a change, until its context ends."""

    conversation: Conversation

    async def has_message(self, message_id: UUID) -> bool:
        """Say whether a message belongs to the conversation."""
        ...

    async def update(self, changed: dict[str, Any]) -> Conversation:
        """Store the change and its event; returns the conversation as it is now."""
        ...

    async def delete(self, event: ConversationDeleted) -> None:
        """Hide the conversation from every reader, leave a tombstone, and write the event."""
        ...


class Conversations(Protocol):
    """The conversations, by owner."""

    async def find(self, user_id: UUID, conversation_id: UUID) -> Conversation | None:
        """Return a conversation of the person that is not deleted."""
        ...

    async def page(self, wanted: ListFilter, after: tuple[datetime, UUID] | None, limit: int) -> list[Conversation]:
        """Return up to ``limit`` conversations, the newest update first."""
        ...

    def change(self, user_id: UUID, conversation_id: UUID) -> AbstractAsyncContextManager[ConversationChange | None]:
        """Hold a conversation of the person, in a transaction that ends with the context."""
        ...

    async def owner(self, conversation_id: UUID) -> Owner | None:
        """Return whose a conversation is or was."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands in its conversation's creation order."""

    number: int
    role: str
    id: UUID


class Messages(Protocol):
    """The messages of a conversation whose owner was checked."""

    async def path(self, conversation_id: UUID, leaf: UUID, stop: UUID | None, limit: int | None) -> list[UUID]:
        """Return the ids from ``leaf`` up to the root, or up to (without) ``stop``, at most ``limit``."""
        ...

    async def fetch(self, conversation_id: UUID, ids: Sequence[UUID]) -> list[Message]:
        """Return messages in the order of their ids."""
        ...

    async def tree(self, conversation_id: UUID, after: Place | None, *, descending: bool, limit: int) -> list[Message]:
        """Return messages of every branch in creation order."""
        ...


class Turns(Protocol):
    """The turns, with or without text."""

    async def ended(self, conversation_id: UUID, turn_id: UUID) -> bool:
        """Say whether a turn of the conversation is stored to its end."""
        ...

    async def known(self, turn_ids: Collection[UUID]) -> list[UUID]:
        """Return those of the turns that need not be sent again."""
        ...

    async def digests(self, turn_ids: Collection[UUID]) -> dict[UUID, TurnDigest]:
        """Return what is stored of the turns."""
        ...
