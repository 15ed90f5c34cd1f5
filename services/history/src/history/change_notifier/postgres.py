"""Change detection in Postgres."""

from collections.abc import Collection, Mapping
from uuid import UUID

from history.database import Database

_ENDED_TURNS = "SELECT id FROM turns WHERE id = ANY($1::uuid[]) AND status <> 'running'"
_FEED_HEADS = "SELECT user_id, position FROM feed_heads WHERE user_id = ANY($1::uuid[])"


class PostgresChangeSource:
    """Detects the changes that any process has committed to Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ended_turns(self, turn_ids: Collection[UUID]) -> set[UUID]:
        """Return the turns whose terminal event is stored."""
        return {row["id"] for row in await self._database.fetch(_ENDED_TURNS, turn_ids)}

    async def feed_heads(self, user_ids: Collection[UUID]) -> Mapping[UUID, int]:
        """Return the newest feed position of each user."""
        return {row["user_id"]: row["position"] for row in await self._database.fetch(_FEED_HEADS, user_ids)}
