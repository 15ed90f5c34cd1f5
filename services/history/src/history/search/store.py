"""Storage interface of search."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from history.messages.schemas import Role
from history.search.tokenizer import QueryTerms


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """The text to search for, and filters: ``since`` is inclusive, ``until`` exclusive."""

    text: str
    role: Role | None = None
    conversation_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SearchPosition:
    """The position of a result in the order of results."""

    score: float
    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class SearchMatch:
    """A message that matches, and the English stems of the query."""

    position: SearchPosition
    conversation_id: UUID
    title: str | None
    role: Role
    content: str
    stems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredText:
    """A message to index again. ``version`` changes when the row does; ``content`` is None when its terms are right."""

    id: UUID
    version: str
    content: str | None


@dataclass(frozen=True, slots=True)
class IndexTerms:
    """The search terms of a stored text: words separated by spaces, and bigrams."""

    text: StoredText
    words: str
    bigrams: Sequence[str]


class ReindexingStore(Protocol):
    """Messages to index again, in the order of their ids."""

    async def claim(self, version: int) -> bool:
        """Claim the next messages; False when all are indexed or another process holds the claim."""
        ...

    async def next_texts(self, version: int, limit: int) -> Sequence[StoredText]:
        """Return the messages after the last one that was indexed."""
        ...

    async def store(self, version: int, terms: Sequence[IndexTerms], last: UUID | None) -> None:
        """Store terms of messages that did not change, and the last message; None ends the work. Ends the claim."""
        ...


class SearchStore(Protocol):
    """Full-text search."""

    async def find(
        self, user_id: UUID, terms: QueryTerms, query: SearchQuery, after: SearchPosition | None, limit: int
    ) -> list[SearchMatch]:
        """Return up to ``limit`` messages of the user that contain every term, best match first."""
        ...
