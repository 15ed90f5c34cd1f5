"""The feed in Postgres."""

from typing import Any
from uuid import UUID

import orjson

from history.ports import FeedEntry
from parley.cloudevents import CloudEvent
from parley.postgres import Pool, translated

_HEAD = "SELECT coalesce((SELECT position FROM feed_heads WHERE user_id = $1), 0)"
_AFTER = "SELECT * FROM feed WHERE user_id = $1 AND position > $2 ORDER BY position LIMIT $3"


class PostgresFeed:
    """Each person's events, in the order they were committed."""

    def __init__(self, pool: Pool) -> None:
        """Take the pool of history's database."""
        self._pool = pool

    async def head(self, user_id: UUID) -> int:
        """Return the newest position, 0 when there is none."""
        with translated():
            return int(await self._pool.fetchval(_HEAD, user_id))

    async def after(self, user_id: UUID, position: int, limit: int) -> list[FeedEntry]:
        """Return what follows a position."""
        with translated():
            rows = await self._pool.fetch(_AFTER, user_id, position, limit)
        return [FeedEntry(row["position"], _event(row) if row["data"] is not None else None) for row in rows]


def _event(row: Any) -> CloudEvent:
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
