"""Full-text search in Postgres."""

from uuid import UUID

from history.database import Database, Row
from history.search.query import QueryTerms
from history.search.store import UNMOVED, SearchMatch, SearchPosition, SearchQuery, SearchResults, SearchWindow
from history.search.tokenizer import INDEX_VERSION, MAX_INDEXED_LENGTH
from parley.storage.named_parameters import NamedStatement

CANDIDATES = 500
"""Messages, the newest that match, of which the best are returned first. The others follow on later pages."""
MAX_WINDOW = 10 * CANDIDATES
"""Matches that a cursor can make a search rank. Windows are smaller, also when their segments have grown."""

# LATERAL … OFFSET 0: a loop over single keys in every plan, however many conversations and messages there are.
_FIND = NamedStatement(f"""
WITH found AS MATERIALIZED (
    SELECT * FROM search_candidates(:user_id::uuid, :query::text, :below::integer, :lowest::integer, :wanted::integer,
        :conversation_id::uuid, :role::text, :since::timestamptz, :until::timestamptz)
), ranked AS MATERIALIZED (
    SELECT f.*, c.title FROM found AS f CROSS JOIN LATERAL (
        SELECT c.title FROM conversations AS c WHERE c.id = f.conversation_id AND c.deleted_at IS NULL OFFSET 0
    ) AS c
    WHERE :after_score::float8 IS NULL
       OR (f.score, f.created_at, f.message_id) < (:after_score, :after_created_at::timestamptz, :after_id::uuid)
    ORDER BY f.score DESC, f.created_at DESC, f.message_id DESC LIMIT :limit
)
SELECT w.*, r.message_id AS id, r.conversation_id, r.title, r.role, r.created_at, r.score, r.content
FROM (
    SELECT max(segment_position) + 1 AS below, min(segment_position) AS lowest, count(*) AS candidates,
        NOT EXISTS (
            SELECT FROM search_reindexing WHERE version = {INDEX_VERSION} AND finished_at IS NOT NULL
        ) AS has_unmoved
    FROM found
) AS w LEFT JOIN (
    SELECT r.*, m.content FROM ranked AS r CROSS JOIN LATERAL (
        SELECT left(m.content, {MAX_INDEXED_LENGTH}) AS content FROM messages AS m
        WHERE m.id = r.message_id AND m.user_id = :user_id OFFSET 0
    ) AS m
) AS r ON true
ORDER BY r.score DESC, r.created_at DESC, r.message_id DESC""")  # noqa: S608 - only constants are interpolated
# Messages of an earlier release, newest first, until there are enough candidates.
_FIND_UNMOVED = NamedStatement(f"""
SELECT * FROM (
    SELECT m.id, m.conversation_id, c.title, m.role, left(m.content, {MAX_INDEXED_LENGTH}) AS content, m.created_at,
        m.score
    FROM (SELECT :query::text::tsquery AS query OFFSET 0) AS w CROSS JOIN LATERAL (
        SELECT m.*, round(ts_rank(m.search, w.query, 32)::numeric, 6)::float8 AS score FROM messages AS m
        WHERE m.user_id = :user_id AND m.search IS NOT NULL AND m.search @@ w.query
          AND (:role::text IS NULL OR m.role = :role)
          AND (:conversation_id::uuid IS NULL OR m.conversation_id = :conversation_id)
          AND (:since::timestamptz IS NULL OR m.created_at >= :since)
          AND (:until::timestamptz IS NULL OR m.created_at < :until)
        ORDER BY m.id DESC LIMIT :wanted
    ) AS m JOIN conversations AS c ON c.id = m.conversation_id AND c.deleted_at IS NULL
) AS found
WHERE :after_score::float8 IS NULL
   OR (score, created_at, id) < (:after_score, :after_created_at::timestamptz, :after_id::uuid)
ORDER BY score DESC, created_at DESC, id DESC LIMIT :limit""")  # noqa: S608 - only a constant is interpolated


class PostgresSearchStore:
    """Full-text search with a GIN index over segments of each person's messages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, user_id: UUID, terms: QueryTerms, query: SearchQuery, after: SearchPosition | SearchWindow, limit: int
    ) -> SearchResults:
        """Return up to ``limit`` messages of the user in a window that match, best match first."""
        window = after if isinstance(after, SearchWindow) else after.window
        values = _values(user_id, query, after, limit)
        if window == UNMOVED:
            values["query"] = terms.earlier_tsquery
            rows = await self._database.fetch(_FIND_UNMOVED.sql, *_FIND_UNMOVED.arguments(values))
            return SearchResults([_match(row, UNMOVED) for row in rows], None)
        values |= {"query": terms.tsquery, "below": window.below, "lowest": window.lowest}
        values["wanted"] = CANDIDATES if window.lowest is None else MAX_WINDOW
        rows = await self._database.fetch(_FIND.sql, *_FIND.arguments(values))
        first = rows[0]
        unmoved = UNMOVED if first["has_unmoved"] else None
        if not first["candidates"]:
            return SearchResults([], unmoved if window.lowest is None else SearchWindow(window.lowest))
        found = SearchWindow(first["below"], first["lowest"])
        is_full = window.lowest is not None or first["candidates"] >= CANDIDATES
        matches = [_match(row, found) for row in rows if row["id"] is not None]
        return SearchResults(matches, SearchWindow(found.lowest or 0) if is_full else unmoved)


def _values(user_id: UUID, query: SearchQuery, after: SearchPosition | SearchWindow, limit: int) -> dict[str, object]:
    position = after if isinstance(after, SearchPosition) else None
    return {
        "user_id": user_id,
        "wanted": CANDIDATES,
        "role": query.role,
        "conversation_id": query.conversation_id,
        "since": query.since,
        "until": query.until,
        "after_score": position.score if position else None,
        "after_created_at": position.created_at if position else None,
        "after_id": position.id if position else None,
        "limit": limit,
    }


def _match(row: Row, window: SearchWindow) -> SearchMatch:
    return SearchMatch(
        position=SearchPosition(window, row["score"], row["created_at"], row["id"]),
        conversation_id=row["conversation_id"],
        title=row["title"],
        role=row["role"],
        content=row["content"],
    )
