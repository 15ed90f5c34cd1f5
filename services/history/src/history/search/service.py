"""Search service: pages of results with snippets."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from history.search.query import QueryTerms, query_terms
from history.search.schemas import SearchHit
from history.search.snippets import Matcher, snippet
from history.search.store import (
    NEWEST,
    UNMOVED,
    SearchMatch,
    SearchPosition,
    SearchQuery,
    SearchStore,
    SearchWindow,
)
from parley.errors import InvalidCursor
from parley.process.fair_slots import FairSlots
from parley.process.locks import held_within
from parley.process.worker_thread import WorkerThread
from parley.web import cursors
from parley.web.schemas import Page

MAX_SEARCHES = 8
"""Searches of a process at a time. Each holds the messages that it found, up to 5,000,000 characters."""
MAX_SEARCHES_OF_USER = 2
"""Those of one user."""
SEARCH_TIMEOUT = 10.0
"""Seconds that a search waits for the others."""
TOO_MANY_SEARCHES = "Too many searches are running. Try again later."


class SearchService:
    """Searches the messages of a user. ``worker`` makes the snippets."""

    def __init__(self, store: SearchStore, worker: WorkerThread) -> None:
        self._store, self._worker = store, worker
        self._searches = FairSlots(MAX_SEARCHES, MAX_SEARCHES_OF_USER)

    async def page(self, user_id: UUID, query: SearchQuery, cursor: str | None, limit: int) -> Page[SearchHit]:
        """Return a page of results, best match first; raises InvalidCursor and Overloaded.

        A query without any letter or digit has no results.
        """
        kind = f"search {query}"
        after: SearchPosition | SearchWindow = NEWEST if cursor is None else _position(kind, cursor)
        terms = query_terms(query.text) if query.text.isascii() else await self._worker.run(query_terms, query.text)
        if not terms.tsquery:
            return Page(data=[], next_cursor=None)
        async with held_within(SEARCH_TIMEOUT, self._searches.hold(user_id), TOO_MANY_SEARCHES):
            found = await self._find(user_id, terms, query, after, limit + 1)
            next_cursor = _cursor(kind, found[limit - 1].position) if len(found) > limit else None
            hits = await self._worker.run(_hits, found[:limit], terms) if found else []
            return Page(data=hits, next_cursor=next_cursor)

    async def _find(
        self, user_id: UUID, terms: QueryTerms, query: SearchQuery, after: SearchPosition | SearchWindow, limit: int
    ) -> list[SearchMatch]:
        """Return matches of the first windows that have enough. Each full window has more than a page."""
        found: list[SearchMatch] = []
        window: SearchPosition | SearchWindow | None = after
        while window is not None and len(found) < limit:
            results = await self._store.find(user_id, terms, query, window, limit - len(found))
            found += results.matches
            window = results.next_window
        return found


def _cursor(kind: str, position: SearchPosition) -> str:
    window = (position.window.below, position.window.lowest or 0)
    return cursors.encode(kind, (*window, position.score, position.created_at.isoformat(), str(position.id)))


def _position(kind: str, cursor: str) -> SearchPosition:
    below, lowest, *rank = cursors.decode(kind, cursor, (int, int, float, datetime, UUID))
    if not UNMOVED.below <= below <= NEWEST.below or not UNMOVED.below <= lowest <= NEWEST.below:
        raise InvalidCursor
    return SearchPosition(UNMOVED if below == UNMOVED.below else SearchWindow(below, lowest), *rank)


def _hits(found: Sequence[SearchMatch], terms: QueryTerms) -> list[SearchHit]:
    matcher = Matcher(terms)
    return [_hit(match, matcher) for match in found]


def _hit(match: SearchMatch, matcher: Matcher) -> SearchHit:
    return SearchHit(
        conversation_id=match.conversation_id,
        conversation_title=match.title,
        message_id=match.position.id,
        role=match.role,
        snippet=snippet(match.content, matcher),
        score=match.position.score,
        created_at=match.position.created_at,
    )
