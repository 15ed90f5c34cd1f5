"""Event feed storage in Postgres."""

from uuid import UUID

import orjson

from history.database import Database, Row
from history.event_feed.store import FeedEntry
from parley_events.cloudevents import CloudEvent

_HEAD = "SELECT coalesce((SELECT position FROM feed_heads WHERE user_id = $1), 0)"
_AFTER = "SELECT * FROM feed WHERE user_id = $1 AND position > $2 ORDER BY position LIMIT $3"


class PostgresFeedStore:
    """The events of each user in commit order, at positions without gaps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self, user_id: UUID) -> int:
        """Return the newest position, or 0 for an empty feed."""
        return int(await self._database.value(_HEAD, user_id))

    async def after(self, user_id: UUID, position: int, limit: int) -> list[FeedEntry]:
        """Return up to ``limit`` entries after a position."""
        rows = await self._database.fetch(_AFTER, user_id, position, limit)
        return [FeedEntry(row["position"], _event(row) if row["data"] is not None else None) for row in rows]


def _event(row: Row) -> CloudEvent:
    return CloudEvent(
        id=row["event_id"],
        source=row["source"],
        name=row["name"],
        version=row["version"],
        subject=row["subject"],
        time=row["time"],
        partition_key=row["partition_key"],
        sequence=row["sequence"],
        data=orjson.dumps(row["data"]),
        traceparent=row["traceparent"],
    )
