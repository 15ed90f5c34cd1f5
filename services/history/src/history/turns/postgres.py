"""Turn lookups in Postgres."""

from collections.abc import Collection
from uuid import UUID

from history.database import Database
from history.turns.schemas import TurnDigest

_HAS_ENDED = """
SELECT EXISTS (SELECT FROM turns WHERE id = $1 AND conversation_id = $2 AND user_id = $3
    AND status <> 'running')"""
# LATERAL (… OFFSET 0) allows Postgres one plan only, a loop over one key of an index: see docs/query-plans.md.
_TURNS = """
FROM unnest($1::uuid[]) AS wanted (id) CROSS JOIN LATERAL (SELECT * FROM turns WHERE id = wanted.id OFFSET 0) AS t
LEFT JOIN LATERAL (SELECT id, status, content FROM messages WHERE id = t.id OFFSET 0) AS m ON true"""
_KNOWN = f"""
SELECT t.id {_TURNS} LEFT JOIN LATERAL (
    SELECT conversation_id FROM conversation_tombstones WHERE conversation_id = t.conversation_id OFFSET 0
) AS deleted ON true
WHERE t.status <> 'running' AND (NOT t.stored OR m.status = t.status OR deleted.conversation_id IS NOT NULL)
UNION
SELECT wanted.id FROM unnest($1::uuid[]) AS wanted (id) CROSS JOIN LATERAL (
    SELECT FROM inbox WHERE dropped_turn_id = wanted.id OFFSET 0
) AS dropped"""  # noqa: S608 - only constants are interpolated
_DIGESTS = f"""
SELECT t.id, t.status, encode(sha256(convert_to(m.content, 'UTF8')), 'hex') AS sha256 {_TURNS}
WHERE m.id IS NOT NULL OR NOT t.stored"""


class PostgresTurnLookup:
    """Turns in Postgres, including turns that are stored without their text."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def has_ended(self, user_id: UUID, conversation_id: UUID, turn_id: UUID) -> bool:
        """Return whether the terminal event of a turn in the user's conversation is stored."""
        return bool(await self._database.value(_HAS_ENDED, turn_id, conversation_id, user_id))

    async def known(self, turn_ids: Collection[UUID]) -> list[UUID]:
        """Return the turns that need not be published again: stored with their end, or not to be stored at all."""
        return [row["id"] for row in await self._database.fetch(_KNOWN, turn_ids)]

    async def digests(self, turn_ids: Collection[UUID]) -> dict[UUID, TurnDigest]:
        """Return the digests of the turns that are stored."""
        found = await self._database.fetch(_DIGESTS, turn_ids)
        return {row["id"]: TurnDigest(status=row["status"], sha256=row["sha256"]) for row in found}
