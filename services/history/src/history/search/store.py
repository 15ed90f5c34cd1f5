"""Storage interface of search."""

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


class SearchStore(Protocol):
    """Full-text search."""

    async def find(
        self, user_id: UUID, terms: QueryTerms, query: SearchQuery, after: SearchPosition | None, limit: int
    ) -> list[SearchMatch]:
        """Return up to ``limit`` messages of the user that contain every term, best match first."""
        ...
