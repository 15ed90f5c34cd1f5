"""Search service: pages of results with snippets."""

from datetime import datetime
from uuid import UUID

from history import cursors
from history.search.schemas import SearchHit
from history.search.snippets import matcher, snippet
from history.search.store import SearchMatch, SearchPosition, SearchQuery, SearchStore
from history.search.tokenizer import QueryTerms, query_terms
from parley.web.schemas import Page


class SearchService:
    """Searches the messages of a user."""

    def __init__(self, store: SearchStore) -> None:
        self._store = store

    async def page(self, user_id: UUID, query: SearchQuery, cursor: str | None, limit: int) -> Page[SearchHit]:
        """Return a page of results, best match first; raises InvalidCursor.

        A query without any letter or digit has no results.
        """
        kind = f"search {query}"
        after = None
        if cursor is not None:
            after = SearchPosition(*cursors.decode(kind, cursor, (float, datetime, UUID)))
        terms = query_terms(query.text)
        if not terms.words and not terms.runs:
            return Page(data=[], next_cursor=None)
        found = await self._store.find(user_id, terms, query, after, limit + 1)
        next_cursor = None
        if len(found) > limit:
            last = found[limit - 1].position
            next_cursor = cursors.encode(kind, (last.score, last.created_at.isoformat(), str(last.id)))
        return Page(data=[_hit(match, terms) for match in found[:limit]], next_cursor=next_cursor)


def _hit(match: SearchMatch, terms: QueryTerms) -> SearchHit:
    return SearchHit(
        conversation_id=match.conversation_id,
        conversation_title=match.title,
        message_id=match.position.id,
        role=match.role,
        snippet=snippet(match.content, matcher(terms, match.stems)),
        score=match.position.score,
        created_at=match.position.created_at,
    )
