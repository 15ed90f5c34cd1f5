"""Storage interface of search."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from history.messages.schemas import Role
from history.search.query import QueryTerms


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """The text to search for, and filters: ``since`` is inclusive, ``until`` exclusive."""

    text: str
    role: Role | None = None
    conversation_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SearchWindow:
    """Segments of a person's messages: those below one, down to ``lowest``, or until there are enough candidates."""

    below: int
    lowest: int | None = None


NEWEST = SearchWindow(2**31 - 1)
UNMOVED = SearchWindow(-(2**31))
"""The messages of an earlier release that are in no segment yet. They are older than all others."""


@dataclass(frozen=True, slots=True)
class SearchPosition:
    """The position of a result: its window, newest first, and its rank in the window."""

    window: SearchWindow
    score: float
    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class SearchMatch:
    """A message that matches."""

    position: SearchPosition
    conversation_id: UUID
    title: str | None
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class SearchResults:
    """Matches in one window, best match first, and the window after it; None if there is none."""

    matches: Sequence[SearchMatch]
    next_window: SearchWindow | None


@dataclass(frozen=True, slots=True)
class StoredText:
    """A message to index again. ``version`` changes when the row does."""

    id: UUID
    version: str
    content: str


@dataclass(frozen=True, slots=True)
class IndexTerms:
    """The search terms of a stored text."""

    text: StoredText
    terms: str


class ReindexingStore(Protocol):
    """Messages to index again, the newest first."""

    async def claim(self, version: int) -> bool:
        """Claim the next messages; False when all are indexed or another process holds the claim."""
        ...

    async def next_texts(self, version: int, limit: int) -> Sequence[StoredText]:
        """Return the messages before the last one that was indexed."""
        ...

    async def store(self, version: int, terms: Sequence[IndexTerms], last: UUID | None) -> None:
        """Store terms of messages that did not change, and the last message; None ends the work. Ends the claim."""
        ...


class SearchStore(Protocol):
    """Full-text search."""

    async def find(
        self, user_id: UUID, terms: QueryTerms, query: SearchQuery, after: SearchPosition | SearchWindow, limit: int
    ) -> SearchResults:
        """Return up to ``limit`` messages of the user in a window that match, best match first."""
        ...
