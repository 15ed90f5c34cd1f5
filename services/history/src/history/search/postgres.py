"""Full-text search in Postgres."""

from collections.abc import Sequence
from uuid import UUID

from history.database import Database, Row
from history.search.characters import IGNORABLE
from history.search.normalization import MAX_COMBINING_MARKS, marks_pattern
from history.search.store import IndexTerms, SearchMatch, SearchPosition, SearchQuery, StoredText
from history.search.tokenizer import MAX_INDEXED_LENGTH, QueryTerms
from parley.storage.named_parameters import NamedStatement

# A message matches when it contains every word as written, or the stem of every English word that is no stop word and
# every other word as written, and each run without spaces as a whole. The index answers runs of up to two characters.
# Longer ones are compared with the text, from which ignorable characters are removed, and whose runs of combining marks
# are cut first: Postgres, too, takes quadratic time to normalize them.
_FIND = NamedStatement(f"""
WITH wanted AS (
    SELECT :bigrams::text::tsquery && (:words::text::tsquery
            || (to_tsquery('pg_catalog.english', :english_words) && :other_words::text::tsquery)) AS query,
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
                  regexp_replace(
                      regexp_replace(left(m.content, {MAX_INDEXED_LENGTH}), :ignorable, '', 'g'),
                      :long_marks, '\\1', 'g'), NFKC
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
CLAIM_TIMEOUT = 60
"""Seconds after which another process may index the messages that a process has claimed."""
_IS_FINISHED = "SELECT finished_at IS NOT NULL FROM search_reindexing WHERE version = $1"
_BEGIN = "INSERT INTO search_reindexing (version) VALUES ($1) ON CONFLICT DO NOTHING"
_CLAIM = """
UPDATE search_reindexing SET claimed_until = now() + make_interval(secs => $2)
WHERE version = $1 AND finished_at IS NULL AND (claimed_until IS NULL OR claimed_until < now()) RETURNING true"""
# The terms of texts in ASCII are the same in every version.
_NEXT_TEXTS = f"""
SELECT id, xmin::text AS version,
    CASE WHEN search IS NOT NULL AND octet_length(content) > char_length(content)
         THEN left(content, {MAX_INDEXED_LENGTH}) END AS content
FROM messages
WHERE id > coalesce((SELECT last_id FROM search_reindexing WHERE version = $1), '00000000-0000-0000-0000-000000000000')
ORDER BY id LIMIT $2"""  # noqa: S608 - only a constant is interpolated
_STORE_TERMS = """
UPDATE messages SET search = search_terms(user_id, $3, string_to_array($4, ' '))
WHERE id = $1 AND xmin = $2::text::xid"""
_STORE_PLACE = """
UPDATE search_reindexing SET last_id = coalesce($2, last_id), claimed_until = NULL,
    finished_at = CASE WHEN $2::uuid IS NULL THEN now() END
WHERE version = $1"""


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
            "english_words": terms.english_tsquery(),
            "other_words": terms.other_words_tsquery(),
            "text": terms.english_words(),
            "ignorable": f"[{IGNORABLE}]+",
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


class PostgresReindexingStore:
    """Messages to index again. Each message is updated by a statement of its own, so that no other one waits for it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, version: int) -> bool:
        """Return whether the caller may index the next messages."""
        finished = await self._database.value(_IS_FINISHED, version)
        if finished is None:
            await self._database.row(_BEGIN, version)
        return not finished and bool(await self._database.value(_CLAIM, version, CLAIM_TIMEOUT))

    async def next_texts(self, version: int, limit: int) -> list[StoredText]:
        """Return the messages after the last one that was indexed."""
        found = await self._database.fetch(_NEXT_TEXTS, version, limit)
        return [StoredText(row["id"], row["version"], row["content"]) for row in found]

    async def store(self, version: int, terms: Sequence[IndexTerms], last: UUID | None) -> None:
        """Store terms of messages that did not change, and the last message; None ends the work."""
        for one in terms:
            await self._database.row(_STORE_TERMS, one.text.id, one.text.version, one.words, " ".join(one.bigrams))
        await self._database.row(_STORE_PLACE, version, last)


def _match(row: Row) -> SearchMatch:
    return SearchMatch(
        position=SearchPosition(row["score"], row["created_at"], row["id"]),
        conversation_id=row["conversation_id"],
        title=row["title"],
        role=row["role"],
        content=row["content"],
        stems=tuple(row["stems"]),
    )
