"""Full-text search in Postgres."""

from uuid import UUID

from history.database import Database, Row
from history.search.store import SearchMatch, SearchPosition, SearchQuery
from history.search.tokenizer import MAX_INDEXED_LENGTH, QueryTerms
from parley.storage.named_parameters import NamedStatement

# A message matches when it contains every word as written, or the stem of every word that is not a stop word, and each
# run without spaces as a whole.
_FIND = NamedStatement(f"""
WITH wanted AS (
    SELECT :bigrams::text::tsquery && (:words::text::tsquery || to_tsquery('pg_catalog.english', :words)) AS query,
        tsvector_to_array(to_tsvector('pg_catalog.english', :text::text)) AS stems
)
SELECT * FROM (
    SELECT m.id, m.conversation_id, c.title, m.role, left(m.content, {MAX_INDEXED_LENGTH}) AS content, m.created_at,
        w.stems, round(ts_rank(m.search, w.query, 32)::numeric, 6)::float8 AS score
    FROM wanted AS w, messages AS m JOIN conversations AS c ON c.id = m.conversation_id AND c.deleted_at IS NULL
    WHERE m.search @@ (:owner::text::tsquery && w.query) AND m.user_id = :user_id
      AND NOT EXISTS (SELECT FROM unnest(:runs::text[]) AS run WHERE strpos(normalize(m.content, NFKC), run) = 0)
      AND (:role::text IS NULL OR m.role = :role)
      AND (:conversation_id::uuid IS NULL OR m.conversation_id = :conversation_id)
      AND (:since::timestamptz IS NULL OR m.created_at >= :since)
      AND (:until::timestamptz IS NULL OR m.created_at < :until)
) AS found
WHERE :after_score::float8 IS NULL
   OR (score, created_at, id) < (:after_score, :after_created_at::timestamptz, :after_id::uuid)
ORDER BY score DESC, created_at DESC, id DESC LIMIT :limit""")  # noqa: S608 - only a constant is interpolated


class PostgresSearchStore:
    """Full-text search with a GIN index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, user_id: UUID, terms: QueryTerms, query: SearchQuery, after: SearchPosition | None, limit: int
    ) -> list[SearchMatch]:
        """Return up to ``limit`` messages of the user that contain every term, best match first."""
        values = {
            "user_id": user_id,
            "owner": f"'user:{user_id}'",
            "bigrams": terms.bigrams_tsquery(),
            "words": terms.words_tsquery(),
            "text": " ".join(terms.words),
            "runs": [run for run in terms.runs if len(run) > 1],
            "role": query.role,
            "conversation_id": query.conversation_id,
            "since": query.since,
            "until": query.until,
            "after_score": after.score if after else None,
            "after_created_at": after.created_at if after else None,
            "after_id": after.id if after else None,
            "limit": limit,
        }
        rows = await self._database.fetch(_FIND.sql, *_FIND.arguments(values))
        return [_match(row) for row in rows]


def _match(row: Row) -> SearchMatch:
    return SearchMatch(
        position=SearchPosition(row["score"], row["created_at"], row["id"]),
        conversation_id=row["conversation_id"],
        title=row["title"],
        role=row["role"],
        content=row["content"],
        stems=tuple(row["stems"]),
    )
