"""Webhooks in Postgres."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from parley.storage.postgres import Connection, row_count
from webhooks.database import ERASURE_LOCK, NAMED_LOCK, Database, Row
from webhooks.endpoints.event_filters import to_pattern
from webhooks.endpoints.model import (
    MAX_OWN_WEBHOOKS,
    MAX_SHARED_WEBHOOKS,
    SECRET_OVERLAP_HOURS,
    LastDelivery,
    TooManyWebhooksError,
    Webhook,
)

_SELECT = """
SELECT w.*, last.attempted_at AS last_at, last.status AS last_status FROM ({webhooks}) AS w
LEFT JOIN LATERAL (
    SELECT d.attempted_at, d.status FROM deliveries AS d
    WHERE d.webhook_id = w.id AND d.attempted_at IS NOT NULL ORDER BY d.attempted_at DESC LIMIT 1
) AS last ON true
ORDER BY w.id DESC"""
# One's own webhooks, and with the scope of an administrator those for all.
_VISIBLE = "w.deleted_at IS NULL AND ((w.scope = 'own' AND w.user_id = $1) OR (w.scope = 'all' AND $2))"
_FIND = _SELECT.format(webhooks=f"SELECT * FROM webhooks AS w WHERE {_VISIBLE} AND w.id = $3")  # noqa: S608 - constants
# Two pages, because each has an index. Their position is never NULL, because a generic plan has no index for
# "$3 IS NULL OR …": see docs/query-plans.md.
_BEFORE = (
    "deleted_at IS NULL AND id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') ORDER BY id DESC LIMIT $4"
)
LIST = _SELECT.format(
    webhooks=f"""
    (SELECT * FROM webhooks WHERE scope = 'own' AND user_id = $1 AND {_BEFORE})
    UNION ALL
    (SELECT * FROM webhooks WHERE scope = 'all' AND $2 AND {_BEFORE})
    ORDER BY id DESC LIMIT $4"""  # noqa: S608 - only constants are interpolated
)
_COUNT_OWN = "SELECT count(*) FROM webhooks WHERE scope = 'own' AND user_id = $1 AND deleted_at IS NULL"
_COUNT_SHARED = "SELECT count(*) FROM webhooks WHERE scope = 'all' AND deleted_at IS NULL"
_INSERT = """
INSERT INTO webhooks (id, user_id, scope, url, events, name_patterns, description, ordered, status, secret, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'active', $9, $10)"""
_ERASED = "SELECT EXISTS (SELECT FROM user_tombstones WHERE user_id = $1)"
_PATCH = f"""
UPDATE webhooks AS w SET
    url = coalesce($4::jsonb->>'url', w.url),
    events = coalesce($5::text[], w.events),
    name_patterns = coalesce($6::text[], w.name_patterns),
    description = CASE WHEN $4::jsonb ? 'description' THEN $4::jsonb->>'description' ELSE w.description END,
    ordered = coalesce(($4::jsonb->>'ordered')::boolean, w.ordered),
    status = coalesce($4::jsonb->>'status', w.status),
    disabled_reason = CASE WHEN $4::jsonb ? 'status' THEN NULL ELSE w.disabled_reason END,
    failing_since = CASE WHEN $4::jsonb ? 'status' OR $4::jsonb ? 'url' THEN NULL ELSE w.failing_since END,
    -- The webhook belongs to the administrator who activated it last.
    user_id = CASE WHEN $4::jsonb->>'status' = 'active' THEN $1 ELSE w.user_id END
WHERE {_VISIBLE} AND w.id = $3"""  # noqa: S608 - only constants are interpolated
# The purge deletes its deliveries and its row: there may be a million.
_DELETE = f"""
UPDATE webhooks AS w SET status = 'disabled', deleted_at = now() WHERE {_VISIBLE} AND w.id = $3"""  # noqa: S608 - constants
_ROTATE = f"""
UPDATE webhooks AS w SET secret = $4, previous_secret = w.secret,
    previous_secret_until = now() + make_interval(hours => $5)
WHERE {_VISIBLE} AND w.id = $3"""  # noqa: S608 - only constants are interpolated


class PostgresWebhookStore:
    """The webhooks that a caller may see: ``user_id`` and ``shared`` say which."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, connection: Connection, webhook: Webhook, secret: bytes) -> bool:
        """Store a webhook within the caller's transaction; False if its user is erased. Raise TooManyWebhooksError."""
        await connection.execute(NAMED_LOCK, "all" if webhook.scope == "all" else str(webhook.user_id))
        await connection.execute(ERASURE_LOCK)
        if await connection.fetchval(_ERASED, webhook.user_id):
            return False
        if await _has_maximum(connection, webhook):
            raise TooManyWebhooksError
        await connection.execute(
            _INSERT,
            *(webhook.id, webhook.user_id, webhook.scope, webhook.url, list(webhook.events)),
            *(_patterns(webhook.events), webhook.description, webhook.ordered, secret, webhook.created_at),
        )
        return True

    async def find(self, user_id: UUID, webhook_id: UUID, *, shared: bool) -> Webhook | None:
        """Return a webhook."""
        row = await self._database.row(_FIND, user_id, shared, webhook_id)
        return to_webhook(row) if row else None

    async def list(self, user_id: UUID, *, shared: bool, before: UUID | None, limit: int) -> Sequence[Webhook]:
        """Return webhooks, the newest first."""
        return [to_webhook(row) for row in await self._database.fetch(LIST, user_id, shared, before, limit)]

    async def patch(self, user_id: UUID, webhook_id: UUID, changes: Mapping[str, Any], *, shared: bool) -> bool:
        """Change the given members; False if there is no such webhook."""
        events = changes.get("events")
        patterns = None if events is None else _patterns(events)
        return bool(await self._database.execute(_PATCH, user_id, shared, webhook_id, dict(changes), events, patterns))

    async def delete(self, user_id: UUID, webhook_id: UUID, *, shared: bool) -> bool:
        """Mark a webhook as deleted; False if there is no such webhook."""
        return bool(await self._database.execute(_DELETE, user_id, shared, webhook_id))

    async def rotate(
        self, connection: Connection, user_id: UUID, webhook_id: UUID, secret: bytes, *, shared: bool
    ) -> Webhook | None:
        """Replace the secret within the caller's transaction, and return the webhook; None if there is no such webhook.

        The previous secret stays valid for a while.
        """
        status = await connection.execute(_ROTATE, user_id, shared, webhook_id, secret, SECRET_OVERLAP_HOURS)
        if not row_count(status):
            return None
        row = await connection.fetchrow(_FIND, user_id, shared, webhook_id)
        return to_webhook(row) if row else None


async def _has_maximum(connection: Connection, webhook: Webhook) -> bool:
    if webhook.scope == "all":
        return bool(await connection.fetchval(_COUNT_SHARED) >= MAX_SHARED_WEBHOOKS)
    return bool(await connection.fetchval(_COUNT_OWN, webhook.user_id) >= MAX_OWN_WEBHOOKS)


def to_webhook(row: Row) -> Webhook:
    """Return the webhook of a row."""
    last = LastDelivery(row["last_at"], row["last_status"]) if row["last_at"] else None
    return Webhook(
        id=row["id"],
        user_id=row["user_id"],
        scope=row["scope"],
        url=row["url"],
        events=tuple(row["events"]),
        description=row["description"],
        ordered=row["ordered"],
        status=row["status"],
        disabled_reason=row["disabled_reason"],
        created_at=row["created_at"],
        last_delivery=last,
    )


def _patterns(filters: Sequence[str]) -> list[str]:
    return [to_pattern(each) for each in filters]
