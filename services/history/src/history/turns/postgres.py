"""Turn lookups in Postgres."""

from collections.abc import Collection
from uuid import UUID

from history.database import Database
from history.turns.schemas import TurnDigest

_HAS_ENDED = """
SELECT EXISTS (SELECT FROM turns WHERE id = $1 AND conversation_id = $2 AND user_id = $3
    AND status <> 'running')"""
_KNOWN = """
SELECT t.id FROM turns AS t
WHERE t.id = ANY($1::uuid[]) AND t.status <> 'running' AND (
    NOT t.stored
    OR EXISTS (SELECT FROM messages AS m WHERE m.id = t.id AND m.status = t.status)
    OR EXISTS (SELECT FROM conversation_tombstones AS d WHERE d.conversation_id = t.conversation_id))
UNION SELECT dropped_turn_id FROM inbox WHERE dropped_turn_id = ANY($1::uuid[])"""
_DIGESTS = """
SELECT t.id, t.status, encode(sha256(convert_to(m.content, 'UTF8')), 'hex') AS sha256
FROM turns AS t LEFT JOIN messages AS m ON m.id = t.id
WHERE t.id = ANY($1::uuid[]) AND (m.id IS NOT NULL OR NOT t.stored)"""


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
