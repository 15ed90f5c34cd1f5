"""The delivery log in Postgres."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from parley.ids import new_id
from webhooks.database import Database, Row
from webhooks.deliveries.model import DELIVERY_STATUSES, MAX_REDELIVERED, DeliveryFilter, NewEvent, WebhookDelivery

# LATERAL (… OFFSET 0) allows Postgres one plan only, a loop over one key of an index: see docs/query-plans.md.
_SELECT = """
SELECT d.*, e.name, e.version, octet_length(e.body) AS body_bytes,
    encode(coalesce(e.body_sha256, sha256(e.body)), 'hex') AS body_sha256
FROM ({deliveries}) AS d CROSS JOIN LATERAL (SELECT * FROM events WHERE id = d.event_id OFFSET 0) AS e
ORDER BY d.id DESC"""
_FIND = _SELECT.format(deliveries="SELECT * FROM deliveries WHERE webhook_id = $1 AND id = $2")
# Chooses from a page of each status, so that one index serves every list. With its order by status, no plan walks the
# primary key through deliveries with other statuses. The position is never NULL, because a generic plan has no index
# for "$3 IS NULL OR …".
LIST = _SELECT.format(
    deliveries="""
    SELECT found.* FROM unnest($2::text[]) AS wanted (status) CROSS JOIN LATERAL (
        SELECT * FROM deliveries
        WHERE webhook_id = $1 AND status >= wanted.status
            AND (status, id) < (wanted.status, coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
        ORDER BY status DESC, id DESC LIMIT $4
    ) AS found ORDER BY found.id DESC LIMIT $4"""
)
# A webhook has at most one delivery of an event.
LIST_OF_EVENT = _SELECT.format(
    deliveries="""
    SELECT * FROM deliveries
    WHERE webhook_id = $1 AND status = ANY ($2) AND ($3::uuid IS NULL OR id < $3) AND event_id = $4"""
)
_INSERT_EVENT = """
INSERT INTO events (id, user_id, name, version, partition_key, time, body) VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_LOCK = "SELECT id FROM webhooks WHERE id = $1 AND deleted_at IS NULL FOR KEY SHARE"
_INSERT = "INSERT INTO deliveries (id, webhook_id, event_id, partition_key) VALUES ($1, $2, $3, $4)"
_AGAIN = "status = 'pending', attempt = 0, next_attempt_at = now(), claim = NULL, claimed_until = NULL, error = NULL"
# An attempt in progress stays as it is: without its claim, another request would start beside it.
_REDELIVER = f"""
UPDATE deliveries SET {_AGAIN}
WHERE webhook_id = $1 AND id = $2 AND (claim IS NULL OR claimed_until <= now())"""  # noqa: S608 - only constants
# Deliveries that wait for an attempt anyway stay as they are. The bound is rounded as responses show it.
_REDELIVER_RANGE = f"""
WITH bound AS (
    SELECT coalesce($4, date_trunc('milliseconds', now())) AS before
), chosen AS (
    SELECT id FROM deliveries
    WHERE webhook_id = $1 AND created_at >= $2 AND created_at < $3 AND status IN ('delivered', 'dead')
      AND attempted_at < (SELECT before FROM bound)
    ORDER BY attempted_at, position LIMIT $5 FOR NO KEY UPDATE SKIP LOCKED
), again AS (
    UPDATE deliveries AS d SET {_AGAIN} FROM chosen WHERE d.id = chosen.id RETURNING d.id
)
SELECT before, (SELECT count(*) FROM again) AS deliveries FROM bound"""  # noqa: S608 - only constants


class PostgresDeliveryLog:
    """Deliveries of one webhook, which the caller may see."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, webhook_id: UUID, chosen: DeliveryFilter, *, before: UUID | None, limit: int
    ) -> Sequence[WebhookDelivery]:
        """Return deliveries, the newest first."""
        statuses = DELIVERY_STATUSES if chosen.status is None else [chosen.status]
        if chosen.event_id is None:
            rows = await self._database.fetch(LIST, webhook_id, statuses, before, limit)
        else:
            rows = await self._database.fetch(LIST_OF_EVENT, webhook_id, statuses, before, chosen.event_id)
        return [_delivery(row) for row in rows]

    async def find(self, webhook_id: UUID, delivery_id: UUID) -> WebhookDelivery | None:
        """Return a delivery."""
        row = await self._database.row(_FIND, webhook_id, delivery_id)
        return _delivery(row) if row else None

    async def add(self, webhook_id: UUID, event: NewEvent) -> UUID | None:
        """Store an event for one webhook only; return the id of the delivery, or None if the webhook is deleted."""
        delivery_id = new_id()
        async with self._database.transaction() as connection:
            if await connection.fetchval(_LOCK, webhook_id) is None:
                return None
            await connection.execute(
                _INSERT_EVENT,
                *(event.id, event.user_id, event.name, event.version, event.partition_key, event.time, event.body),
            )
            await connection.execute(_INSERT, delivery_id, webhook_id, event.id, event.partition_key)
        return delivery_id

    async def redeliver(self, webhook_id: UUID, delivery_id: UUID) -> None:
        """Send a delivery again, unless it is being sent now."""
        await self._database.execute(_REDELIVER, webhook_id, delivery_id)

    async def redeliver_range(
        self, webhook_id: UUID, since: datetime, until: datetime, attempted_before: datetime | None
    ) -> tuple[int, datetime]:
        """Send the finished deliveries of a range again, at most ``MAX_REDELIVERED``.

        Return their number, and the time before which they were attempted: now, unless it is given.
        """
        row = await self._database.row(_REDELIVER_RANGE, webhook_id, since, until, attempted_before, MAX_REDELIVERED)
        assert row is not None
        return row["deliveries"], row["before"]


def _delivery(row: Row) -> WebhookDelivery:
    return WebhookDelivery(
        id=row["id"],
        event_id=row["event_id"],
        event_type=f"io.parley.{row['name']}.v{row['version']}",
        status=row["status"],
        attempt=row["attempt"],
        next_attempt_at=row["next_attempt_at"],
        attempted_at=row["attempted_at"],
        response_status=row["response_status"],
        latency_ms=row["latency_ms"],
        error=row["error"],
        body_bytes=row["body_bytes"],
        body_sha256=row["body_sha256"],
        created_at=row["created_at"],
    )
