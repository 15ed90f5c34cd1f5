"""Storage of reindexing in Postgres."""

from collections.abc import Sequence
from uuid import UUID

from history.database import Database
from history.search.store import IndexTerms, StoredText
from history.search.tokenizer import MAX_INDEXED_LENGTH

CLAIM_TIMEOUT = 60
"""Seconds after which another process may index the messages that a process has claimed."""
# An earlier release that still runs during an update stores messages to be moved, also after the work was done.
_UNMOVED = "EXISTS (SELECT FROM messages WHERE search IS NOT NULL)"
_IS_FINISHED = f"""
SELECT finished_at IS NOT NULL AND NOT {_UNMOVED} FROM search_reindexing WHERE version = $1"""  # noqa: S608 - a constant
_BEGIN = "INSERT INTO search_reindexing (version) VALUES ($1) ON CONFLICT DO NOTHING"
_CLAIM = f"""
UPDATE search_reindexing SET claimed_until = now() + make_interval(secs => $2)
WHERE version = $1 AND (finished_at IS NULL OR {_UNMOVED}) AND (claimed_until IS NULL OR claimed_until < now())
RETURNING true"""  # noqa: S608 - only a constant is interpolated
# Newest first, so that what is moved is older than what is in the index already.
_NEXT_TEXTS = f"""
SELECT m.id, m.xmin::text AS version, left(m.content, {MAX_INDEXED_LENGTH}) AS content
FROM messages AS m
WHERE m.id < coalesce(
      (SELECT last_id FROM search_reindexing WHERE version = $1), 'ffffffff-ffff-ffff-ffff-ffffffffffff')
  AND (m.search IS NOT NULL OR EXISTS (SELECT FROM message_search AS s WHERE s.message_id = m.id))
ORDER BY m.id DESC LIMIT $2"""  # noqa: S608 - only a constant is interpolated
_LEFT_OVER = f"""
SELECT m.id, m.xmin::text AS version, left(m.content, {MAX_INDEXED_LENGTH}) AS content
FROM messages AS m WHERE m.search IS NOT NULL ORDER BY m.user_id, m.id LIMIT $1"""  # noqa: S608 - only a constant
_STORE_TERMS = "SELECT reindex_messages($1::uuid[], $2::text[], $3::text[])"
_STORE_PLACE = """
UPDATE search_reindexing SET last_id = coalesce(least(last_id, $2), $2, last_id), claimed_until = NULL,
    finished_at = CASE WHEN $2::uuid IS NULL THEN now() ELSE finished_at END
WHERE version = $1"""


class PostgresReindexingStore:
    """Messages to index again. The messages of a batch are indexed in one transaction, which locks their owners."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, version: int) -> bool:
        """Return whether the caller may index the next messages."""
        finished = await self._database.value(_IS_FINISHED, version)
        if finished is None:
            await self._database.row(_BEGIN, version)
        return not finished and bool(await self._database.value(_CLAIM, version, CLAIM_TIMEOUT))

    async def next_texts(self, version: int, limit: int) -> list[StoredText]:
        """Return the messages before the last one that was indexed, then those that were stored meanwhile."""
        found = await self._database.fetch(_NEXT_TEXTS, version, limit)
        found = found or await self._database.fetch(_LEFT_OVER, limit)
        return [StoredText(row["id"], row["version"], row["content"]) for row in found]

    async def store(self, version: int, terms: Sequence[IndexTerms], last: UUID | None) -> None:
        """Store terms of messages that did not change, and the last message; None ends the work."""
        if terms:
            ids = [one.text.id for one in terms]
            await self._database.value(
                _STORE_TERMS, ids, [one.text.version for one in terms], [one.terms for one in terms]
            )
        await self._database.row(_STORE_PLACE, version, last)
