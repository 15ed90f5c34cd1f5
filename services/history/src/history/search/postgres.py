"""Full text search in Postgres."""

from typing import Any
from uuid import UUID

from history.conversations.store import Found, SearchPlace, SearchQuery
from history.database import Database
from history.search.tokenizer import INDEXED, Wanted

# A message holds the words as they are, or all but the stop words by their stems; and each spaceless run as a whole.
_FIND = f"""
WITH wanted AS (
    SELECT $2::text::tsquery && ($3::text::tsquery || to_tsquery('pg_catalog.english', $3)) AS query,
        tsvector_to_array(to_tsvector('pg_catalog.english', $4::text)) AS stems
)
SELECT * FROM (
    SELECT m.id, m.conversation_id, c.title, m.role, left(m.content, {INDEXED}) AS content, m.created_at, w.stems,
        round(ts_rank(m.search, w.query, 32)::numeric, 6)::float8 AS score
    FROM wanted AS w, messages AS m JOIN conversations AS c ON c.id = m.conversation_id AND c.deleted_at IS NULL
    WHERE m.search @@ ($5::text::tsquery && w.query) AND m.user_id = $1
      AND NOT EXISTS (SELECT FROM unnest($6::text[]) AS run WHERE strpos(normalize(m.content, NFKC), run) = 0)
      AND ($7::text IS NULL OR m.role = $7) AND ($8::uuid IS NULL OR m.conversation_id = $8)
      AND ($9::timestamptz IS NULL OR m.created_at >= $9) AND ($10::timestamptz IS NULL OR m.created_at < $10)
) AS found
WHERE $11::float8 IS NULL OR (score, created_at, id) < ($11, $12::timestamptz, $13::uuid)
ORDER BY score DESC, created_at DESC, id DESC LIMIT $14"""  # noqa: S608 - a constant


class PostgresSearch:
    """Searches messages."""

    def __init__(self, database: Database) -> None:
        """Take history's database."""
        self._database = database

    async def find(
        self, user_id: UUID, wanted: Wanted, query: SearchQuery, after: SearchPlace | None, limit: int
    ) -> list[Found]:
        """Return the person's messages that hold every term, the best first."""
        place = (after.score, after.created_at, after.id) if after else (None, None, None)
        rows = await self._database.fetch(
            _FIND,
            user_id,
            wanted.pairs(),
            wanted.lexemes(),
            " ".join(wanted.words),
            f"'user:{user_id}'",
            [run for run in wanted.runs if len(run) > 1],
            query.role,
            query.conversation_id,
            query.since,
            query.until,
            *place,
            limit,
        )
        return [_found(row) for row in rows]


def _found(row: Any) -> Found:
    return Found(
        place=SearchPlace(row["score"], row["created_at"], row["id"]),
        conversation_id=row["conversation_id"],
        title=row["title"],
        role=row["role"],
        content=row["content"],
        stems=tuple(row["stems"]),
    )
