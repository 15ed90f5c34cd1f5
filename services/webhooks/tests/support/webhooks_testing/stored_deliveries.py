"""Webhooks and deliveries stored without the API, for tests of statements on many rows."""

from uuid import UUID

from parley.ids import new_id
from parley.storage.postgres import Pool
from parley.times import now
from webhooks.deliveries.model import NewEvent

_WEBHOOK = """
INSERT INTO webhooks (id, user_id, scope, url, events, name_patterns, ordered, status, secret)
VALUES ($1, $2, $3, 'https://example.org', '{#}', '{.}', $4, 'active', 'x')"""
_DELIVERIES = """
WITH made AS (
    INSERT INTO events (id, user_id, name, version, partition_key, time, body)
    SELECT gen_random_uuid(), $4, 'user.updated', 1, 'k' || (n % 4), now() + n * interval '1 ms', '{}'
    FROM generate_series(0, $2::int - 1) AS n RETURNING id, partition_key, time
)
INSERT INTO deliveries (id, webhook_id, event_id, partition_key, status)
SELECT gen_random_uuid(), webhook, id, partition_key, $3 FROM made, unnest($1::uuid[]) AS webhook ORDER BY time"""


async def store_webhook(pool: Pool, user_id: UUID | None = None, *, scope: str = "own", ordered: bool = False) -> UUID:
    """Store an active webhook, and return its ID."""
    webhook = new_id()
    await pool.execute(_WEBHOOK, webhook, user_id or new_id(), scope, ordered)
    return webhook


async def store_deliveries(
    pool: Pool,
    webhook: UUID,
    number: int,
    status: str = "pending",
    *,
    user_id: UUID | None = None,
    also: UUID | None = None,
) -> None:
    """Store events of four keys about a user, and their deliveries to a webhook, and ``also`` to another one."""
    await pool.execute(_DELIVERIES, [webhook, *([also] if also else [])], number, status, user_id)
    await pool.execute("ANALYZE")


def new_event(user_id: UUID, name: str = "user.updated") -> NewEvent:
    """Return an event about a user."""
    return NewEvent(
        id=new_id(), user_id=user_id, name=name, version=1, partition_key=str(user_id), time=now(), body=b"{}"
    )
