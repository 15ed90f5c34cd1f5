"""Event feed storage in Postgres."""

from uuid import UUID

import orjson

from history.database import Database, Row
from history.event_feed.store import FeedBatch, FeedEntry
from parley_events.cloudevents import CloudEvent

_HEAD = "SELECT coalesce((SELECT position FROM feed_heads WHERE user_id = $1), 0)"
# Reads no entry behind the one with which the length reaches the bound.
_AFTER = """
WITH RECURSIVE read AS (
    SELECT $2::bigint AS position, 0 AS entries, 0::bigint AS characters
    UNION ALL
    SELECT f.position, r.entries + 1, r.characters + f.characters
    FROM read AS r CROSS JOIN LATERAL (
        SELECT position, coalesce(length(data::text), 0) AS characters FROM feed
        WHERE user_id = $1 AND position > r.position ORDER BY position LIMIT 1
    ) AS f
    WHERE r.entries < $3 AND r.characters < $4
)
SELECT f.*, r.entries >= $3 OR r.characters >= $4 AS is_full
FROM read AS r CROSS JOIN LATERAL (SELECT * FROM feed WHERE user_id = $1 AND position = r.position OFFSET 0) AS f
WHERE r.entries > 0 ORDER BY r.position"""


class PostgresFeedStore:
    """The events of each user in commit order, at positions without gaps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self, user_id: UUID) -> int:
        """Return the newest position, or 0 for an empty feed."""
        return int(await self._database.value(_HEAD, user_id))

    async def after(self, user_id: UUID, position: int, limit: int, characters: int) -> FeedBatch:
        """Return entries after a position: up to ``limit``, or to the one that makes them ``characters`` long."""
        rows = await self._database.fetch(_AFTER, user_id, position, limit, characters)
        entries = [FeedEntry(row["position"], _event(row) if row["data"] is not None else None) for row in rows]
        return FeedBatch(entries, is_full=bool(rows) and rows[-1]["is_full"])


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
