"""Full-text search in Postgres."""

from uuid import UUID

from history.database import Database, Row
from history.search.normalization import MAX_COMBINING_MARKS, marks_pattern
from history.search.store import SearchMatch, SearchPosition, SearchQuery
from history.search.tokenizer import MAX_INDEXED_LENGTH, QueryTerms
from parley.storage.named_parameters import NamedStatement

# A message matches when it contains every word as written, or the stem of every word that is not a stop word, and each
# run without spaces as a whole. The index answers runs of up to two characters. Longer ones are compared with the text,
# whose runs of combining marks are cut first: Postgres, too, takes quadratic time to normalize them.
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
      AND CASE WHEN cardinality(:runs::text[]) > 0 THEN NOT EXISTS (
          SELECT FROM (
              SELECT normalize(
                  regexp_replace(left(m.content, {MAX_INDEXED_LENGTH}), :long_marks, '\\1', 'g'), NFKC
              ) AS text OFFSET 0
          ) AS plain, unnest(:runs) AS run WHERE strpos(plain.text, run) = 0
      ) ELSE true END
      AND (:role::text IS NULL OR m.role = :role)
      AND (:conversation_id::uuid IS NULL OR m.conversation_id = :conversation_id)
      AND (:since::timestamptz IS NULL OR m.created_at >= :since)
      AND (:until::timestamptz IS NULL OR m.created_at < :until)
) AS found
WHERE :after_score::float8 IS NULL
   OR (score, created_at, id) < (:after_score, :after_created_at::timestamptz, :after_id::uuid)
ORDER BY score DESC, created_at DESC, id DESC LIMIT :limit""")  # noqa: S608 - only a constant is interpolated


MAX_BIGRAM_LENGTH = 2


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
            "runs": [run for run in terms.runs if len(run) > MAX_BIGRAM_LENGTH],
            "long_marks": f"({marks_pattern()}{{{MAX_COMBINING_MARKS}}}){marks_pattern()}+",
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
