"""Doubles of the feed, search, usage and import stores, and of the change source."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from history.event_feed.store import FeedBatch, FeedEntry
from history.search.query import QueryTerms
from history.search.store import (
    IndexTerms,
    SearchMatch,
    SearchPosition,
    SearchQuery,
    SearchResults,
    SearchWindow,
    StoredText,
)
from history.transfer.drafts import ConversationDraft
from history.usage.schemas import UsageGroup, UsageRow
from history.usage.store import UsageQuery
from parley.errors import DependencyUnavailable
from parley_events.cloudevents import CloudEvent


class InMemoryFeedStore:
    """A feed that ends, or is unavailable, as the test says."""

    def __init__(self) -> None:
        self.entries: dict[UUID, list[FeedEntry]] = defaultdict(list)
        self.unavailable = False

    def append(self, user_id: UUID, event: CloudEvent | None) -> int:
        position = self.entries[user_id][-1].position + 1 if self.entries[user_id] else 1
        self.entries[user_id].append(FeedEntry(position, event))
        return position

    def trim(self, user_id: UUID, count: int) -> None:
        """Remove the oldest entries."""
        del self.entries[user_id][:count]

    async def head(self, user_id: UUID) -> int:
        return self.entries[user_id][-1].position if self.entries[user_id] else 0

    async def after(self, user_id: UUID, position: int, limit: int, characters: int) -> FeedBatch:
        if self.unavailable:
            raise DependencyUnavailable
        found: list[FeedEntry] = []
        for entry in [entry for entry in self.entries[user_id] if entry.position > position][:limit]:
            found.append(entry)
            characters -= len(entry.event.data) if entry.event else 0
            if characters <= 0:
                break
        return FeedBatch(found, is_full=len(found) == limit or characters <= 0)


@dataclass
class FakeSearchStore:
    """Returns the given matches, which are grouped by window, and records the terms of each query."""

    matches: list[SearchMatch] = field(default_factory=list)
    queries: list[QueryTerms] = field(default_factory=list)

    async def find(
        self, user_id: UUID, terms: QueryTerms, query: SearchQuery, after: SearchPosition | SearchWindow, limit: int
    ) -> SearchResults:
        self.queries.append(terms)
        below = after.below if isinstance(after, SearchWindow) else after.window.below
        here = next((m.position.window for m in self.matches if m.position.window.below <= below), None)
        found = [match for match in self.matches if match.position.window == here]
        start = 0 if isinstance(after, SearchWindow) else [match.position for match in found].index(after) + 1
        following = next(
            (m.position.window for m in self.matches if here and m.position.window.below < here.below), None
        )
        return SearchResults(found[start : start + limit], following and SearchWindow(following.below))


@dataclass
class InMemoryReindexingStore:
    """Texts to index again, and their terms."""

    texts: list[StoredText]
    terms: dict[UUID, IndexTerms] = field(default_factory=dict)
    last: UUID | None = None
    claimed: bool = False
    finished: bool = False

    async def claim(self, version: int) -> bool:
        if self.claimed or self.finished:
            return False
        self.claimed = True
        return True

    async def next_texts(self, version: int, limit: int) -> Sequence[StoredText]:
        newest_first = sorted(self.texts, key=lambda text: text.id, reverse=True)
        return [text for text in newest_first if self.last is None or text.id < self.last][:limit]

    async def store(self, version: int, terms: Sequence[IndexTerms], last: UUID | None) -> None:
        self.terms.update((one.text.id, one) for one in terms)
        self.last, self.finished, self.claimed = last or self.last, last is None, False


@dataclass
class FakeUsageStore:
    """Returns the given groups, and records each query."""

    current_date: date
    found: list[UsageGroup] = field(default_factory=list)
    queries: list[UsageQuery] = field(default_factory=list)

    async def zones(self) -> frozenset[str]:
        return frozenset({"UTC", "Asia/Shanghai"})

    async def today(self, tz: str) -> date:
        return self.current_date

    async def groups(self, query: UsageQuery) -> list[UsageGroup]:
        self.queries.append(query)
        return self.found

    async def total(self, query: UsageQuery) -> UsageRow:
        return UsageRow(
            turns=sum(group.turns for group in self.found),
            prompt_tokens=sum(group.prompt_tokens for group in self.found),
            completion_tokens=sum(group.completion_tokens for group in self.found),
            total_tokens=sum(group.total_tokens for group in self.found),
            estimated_turns=sum(group.estimated_turns for group in self.found),
            cost=None,
        )


@dataclass
class InMemoryImportStore:
    """Keeps the drafts that are imported, by conversation id."""

    drafts: dict[UUID, ConversationDraft] = field(default_factory=dict)
    counted: dict[UUID, tuple[UUID, int]] = field(default_factory=dict)
    """Owner and counted bytes by conversation id."""
    keys: dict[tuple[UUID, str], bytes] = field(default_factory=dict)

    async def claim_key(self, user_id: UUID, key: str, digest: bytes) -> bool:
        return self.keys.setdefault((user_id, key), digest) == digest

    async def imported_bytes(self, user_id: UUID) -> int:
        return sum(counted for owner, counted in self.counted.values() if owner == user_id)

    async def is_known(self, conversation_id: UUID) -> bool:
        return conversation_id in self.drafts

    async def store(
        self, user_id: UUID, draft: ConversationDraft, conversation_id: UUID, counted_bytes: int
    ) -> tuple[str | None, bool]:
        new = conversation_id not in self.drafts
        self.drafts.setdefault(conversation_id, draft)
        self.counted.setdefault(conversation_id, (user_id, counted_bytes))
        return draft.title, new


@dataclass
class FakeChangeSource:
    """Reports the given changes, and counts its queries."""

    ended: set[UUID] = field(default_factory=set)
    heads: dict[UUID, int] = field(default_factory=dict)
    queries: int = 0

    async def ended_turns(self, turn_ids: Collection[UUID]) -> set[UUID]:
        self.queries += 1
        return self.ended & set(turn_ids)

    async def feed_heads(self, user_ids: Collection[UUID]) -> Mapping[UUID, int]:
        self.queries += 1
        return {user_id: head for user_id, head in self.heads.items() if user_id in user_ids}


@dataclass
class FakeUsernames:
    """Returns the given user names, and records each question."""

    names: dict[UUID, str] = field(default_factory=dict)
    asked: list[tuple[list[UUID], str]] = field(default_factory=list)

    async def usernames(self, user_ids: Collection[UUID], token: str) -> dict[UUID, str]:
        self.asked.append((list(user_ids), token))
        return self.names
