"""What history needs of whatever stores it."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, Protocol
from uuid import UUID

from history.conversations.schemas import Archived, Conversation, Message, Owner, Role, TurnDigest, UsageGroup, UsageRow
from history.search.tokenizer import Wanted
from history.transfer.drafts import Draft
from parley_events.cloudevents import CloudEvent
from parley_events.models import ConversationDeleted, TurnEnded, TurnStarted, UserErased

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

    async def every(self, user_id: UUID, after: UUID | None, limit: int) -> list[Conversation]:
        """Return the person's conversations by id: an order that changes meanwhile do not disturb."""
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

    async def ended(self, user_id: UUID, conversation_id: UUID, turn_id: UUID) -> bool:
        """Say whether a turn of the person's conversation is stored to its end."""
        ...

    async def known(self, turn_ids: Collection[UUID]) -> list[UUID]:
        """Return those of the turns that need not be sent again."""
        ...

    async def digests(self, turn_ids: Collection[UUID]) -> dict[UUID, TurnDigest]:
        """Return what is stored of the turns."""
        ...


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What somebody looks for."""

    text: str
    role: Role | None = None
    conversation_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SearchPlace:
    """Where a result stands in the order of results."""

    score: float
    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Found:
    """A message that matches, and the English stems that made it match."""

    place: SearchPlace
    conversation_id: UUID
    title: str | None
    role: Role
    content: str
    stems: tuple[str, ...]


class Search(Protocol):
    """Full text search."""

    async def find(
        self, user_id: UUID, wanted: Wanted, query: SearchQuery, after: SearchPlace | None, limit: int
    ) -> list[Found]:
        """Return the person's messages that hold every term, the best first."""
        ...


Grouping = Literal["day", "model", "conversation"]


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Which usage is asked for: from a date to (without) a date in a time zone."""

    user_id: UUID
    since: date
    until: date
    tz: str
    group: Grouping


class UsageStore(Protocol):
    """What turns used."""

    async def zones(self) -> frozenset[str]:
        """Return the names of the time zones."""
        ...

    async def today(self, tz: str) -> date:
        """Return the date it is now in a time zone."""
        ...

    async def groups(self, query: UsageQuery) -> list[UsageGroup]:
        """Return the usage by group."""
        ...

    async def total(self, query: UsageQuery) -> UsageRow:
        """Return the usage of all groups together."""
        ...


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """A position in a person's feed; its event is None once it may no longer be shown."""

    position: int
    event: CloudEvent | None


class Feed(Protocol):
    """Each person's events, in the order they were committed."""

    async def head(self, user_id: UUID) -> int:
        """Return the newest position, 0 when there is none."""
        ...

    async def after(self, user_id: UUID, position: int, limit: int) -> list[FeedEntry]:
        """Return what follows a position."""
        ...


class Imports(Protocol):
    """Stores what is imported."""

    async def claim(self, user_id: UUID, key: str, digest: bytes) -> bool:
        """Note which file a person's idempotency key stands for; return False when it stands for another."""
        ...

    async def store(self, user_id: UUID, draft: Draft, conversation_id: UUID) -> tuple[str | None, bool]:
        """Store a conversation whose messages come after their parents.

        Returns its title, and whether it is new: an id that is or was there is left as it is.
        """
        ...


class Janitor(Protocol):
    """Removes what has served its time."""

    async def sweep(self) -> int:
        """Remove one batch of everything; returns how many rows went."""
        ...
