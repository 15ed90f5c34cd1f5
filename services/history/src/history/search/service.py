"""Search service: pages of results with snippets."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from history import cursors
from history.search.schemas import SearchHit
from history.search.snippets import Matcher, snippet
from history.search.store import SearchMatch, SearchPosition, SearchQuery, SearchStore
from history.search.tokenizer import QueryTerms, query_terms
from parley.process.worker_thread import WorkerThread
from parley.web.schemas import Page


class SearchService:
    """Searches the messages of a user. ``worker`` makes the snippets."""

    def __init__(self, store: SearchStore, worker: WorkerThread) -> None:
        self._store, self._worker = store, worker

    async def page(self, user_id: UUID, query: SearchQuery, cursor: str | None, limit: int) -> Page[SearchHit]:
        """Return a page of results, best match first; raises InvalidCursor.

        A query without any letter or digit has no results.
        """
        kind = f"search {query}"
        after = None
        if cursor is not None:
            after = SearchPosition(*cursors.decode(kind, cursor, (float, datetime, UUID)))
        terms = query_terms(query.text) if query.text.isascii() else await self._worker.run(query_terms, query.text)
        if not terms.words and not terms.runs:
            return Page(data=[], next_cursor=None)
        found = await self._store.find(user_id, terms, query, after, limit + 1)
        next_cursor = None
        if len(found) > limit:
            last = found[limit - 1].position
            next_cursor = cursors.encode(kind, (last.score, last.created_at.isoformat(), str(last.id)))
        hits = await self._worker.run(_hits, found[:limit], terms) if found else []
        return Page(data=hits, next_cursor=next_cursor)


def _hits(found: Sequence[SearchMatch], terms: QueryTerms) -> list[SearchHit]:
    # The stems are those of the query, and equal in every match.
    matcher = Matcher(terms, found[0].stems)
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
