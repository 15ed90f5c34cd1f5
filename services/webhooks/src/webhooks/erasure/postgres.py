"""Webhooks of users who were erased, disabled, or lost a scope, and stored events of which items were deleted."""

from uuid import UUID

from parley.messaging import outbox
from parley.storage.erasure import ERASURE_TIMEOUT, WORK_TIME, WorkTime
from parley.storage.postgres import allow_long_statements, row_count
from parley.times import now
from parley_events.models import TurnRedacted, UserChanged, UserErased, UserErasureConfirmed
from parley_events.webhook_models import WebhookDisabledReason
from webhooks.database import ERASURE_LOCK, EXCLUSIVE_ERASURE_LOCK, Database
from webhooks.deliveries.body import kept_texts, redacted_body
from webhooks.deliveries.model import ALWAYS_DELIVERED
from webhooks.endpoints.disabling import disable_webhooks
from webhooks.scopes import SCOPE_ALL, SCOPE_OWN

ROW_BATCH_SIZE = 5000
"""Rows of other tables that one transaction deletes."""
EVENT_BATCH_SIZE = 200
"""Events that one transaction deletes, with the delivery of each to every webhook for all users."""

_TOMBSTONE = "INSERT INTO user_tombstones (user_id) VALUES ($1) ON CONFLICT DO NOTHING"
# From here on nothing is sent, and no request finds a webhook.
_DELETE_WEBHOOKS = """
WITH locked AS (SELECT id FROM webhooks WHERE user_id = $1 ORDER BY id FOR NO KEY UPDATE)
UPDATE webhooks AS w SET status = 'disabled', deleted_at = coalesce(w.deleted_at, now())
FROM locked WHERE w.id = locked.id"""
_NEXT_WEBHOOK = "SELECT id FROM webhooks WHERE user_id = $1 LIMIT 1"
# The physical places of the locked rows: no plan but to go there, see docs/query-plans.md.
_ERASE_DELIVERIES = """
DELETE FROM deliveries WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM deliveries WHERE webhook_id = $1 LIMIT $2 FOR UPDATE SKIP LOCKED
))"""
# Waits for the transaction that has locked a delivery, and holds no other lock meanwhile: see docs/locks.md.
_LOCKED_DELIVERY = "SELECT id FROM deliveries WHERE webhook_id = $1 LIMIT 1 FOR UPDATE"
_ERASE_WEBHOOK = "DELETE FROM webhooks WHERE id = $1"
_HAS_EVENTS = "SELECT EXISTS (SELECT FROM events WHERE user_id = $1 AND name <> ALL ($2))"
_ERASE_EVENTS = """
DELETE FROM events WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM events WHERE user_id = $1 AND name <> ALL ($2) LIMIT $3 FOR UPDATE
))"""
_HAS_ROWS = {
    table: f"SELECT EXISTS (SELECT FROM {table} WHERE user_id = $1)"  # noqa: S608 - only the names below
    for table in ("redactions", "idempotency_keys")
}
_ERASE_ROWS = {
    table: f"""
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE user_id = $1 LIMIT $2 FOR UPDATE))"""  # noqa: S608 - only the names above
    for table in _HAS_ROWS
}
_OF_USER = """
SELECT id FROM webhooks WHERE user_id = $1 AND scope = ANY ($2) AND status <> 'disabled'
ORDER BY id FOR NO KEY UPDATE"""
# Returns nothing for an event that is older than what is known, and after an erasure.
_RECORD = """
INSERT INTO redactions AS r (turn_id, partition_key, user_id, revision, untitled, kept)
SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT FROM user_tombstones WHERE user_id = $3)
ON CONFLICT (turn_id) DO UPDATE SET
    revision = excluded.revision, untitled = r.untitled OR excluded.untitled, kept = excluded.kept, redacted_at = now()
WHERE r.revision <= excluded.revision
RETURNING true"""
# Events that name the turn, and the one that has the title of a conversation.
_LOCK_EVENTS = """
SELECT id, body FROM events WHERE partition_key = $1 AND (
    name LIKE 'conversation.turn.%' AND position(convert_to($2, 'UTF8') IN body) > 0
    OR $3 AND name = 'conversation.created'
) ORDER BY id FOR NO KEY UPDATE"""
_REDACT = """
UPDATE events AS e SET body = new.body FROM unnest($1::uuid[], $2::bytea[]) AS new (id, body) WHERE e.id = new.id"""


class PostgresRedactions:
    """Takes what users deleted out of the stored events, which later attempts send, and records it for later events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def apply(self, partition_key: str, redaction: TurnRedacted) -> None:
        """Change the stored events of a turn in one transaction, unless a newer event did. It is safe to repeat."""
        opens = redaction.parent_id is None and _may_lack_beginning(redaction)
        async with self._database.transaction() as connection:
            await connection.execute(ERASURE_LOCK)
            if not await connection.fetchval(
                _RECORD,
                redaction.turn_id,
                partition_key,
                redaction.user_id,
                redaction.revision,
                opens,
                kept_texts(redaction),
            ):
                return
            rows = await connection.fetch(_LOCK_EVENTS, partition_key, str(redaction.turn_id), opens)
            bodies = {row["id"]: redacted_body(row["body"], redaction) for row in rows}
            changed = {event_id: body for event_id, body in bodies.items() if body is not None}
            await connection.execute(_REDACT, list(changed), list(changed.values()))


def _may_lack_beginning(redaction: TurnRedacted) -> bool:
    """Return whether items of the question were deleted, unless each deleted item was all of another message."""
    question, gone = redaction.user_message, redaction.deleted_message_ids
    return question is not None and (question.id in gone or len(gone) < redaction.revision)


class PostgresUserWebhooks:
    """Follows what becomes of users. Each call is safe to repeat."""

    def __init__(
        self,
        database: Database,
        *,
        rows: int = ROW_BATCH_SIZE,
        events: int = EVENT_BATCH_SIZE,
        work_time: float = WORK_TIME,
    ) -> None:
        """Delete so many ``rows`` or ``events`` in a transaction. An erasure ends unfinished after ``work_time``."""
        self._database, self._rows, self._events, self._work_time = database, rows, events, work_time

    async def erase(self, data: UserErased) -> None:
        """Delete the webhooks of a user and every event about the user in batches, and confirm it through the outbox.

        The tombstone is committed first: nothing is added after it, and nobody waits while everything is deleted. Then
        the webhooks are marked as deleted: nothing is sent to them. Raises DependencyUnavailable if there is more to
        delete than time: the event is tried again, and that uses up no attempt.
        """
        time, user_id = WorkTime(self._work_time), data.user_id
        async with self._database.transaction() as connection:
            await connection.execute(EXCLUSIVE_ERASURE_LOCK)
            await connection.execute(_TOMBSTONE, user_id)
        await self._execute(_DELETE_WEBHOOKS, user_id)
        while webhook_id := await self._database.value(_NEXT_WEBHOOK, user_id):
            await self._erase_webhook(webhook_id, time)
        kept = list(ALWAYS_DELIVERED)
        while await self._database.value(_HAS_EVENTS, user_id, kept):
            await self._execute(_ERASE_EVENTS, user_id, kept, self._events)
            time.check()
        for table, erase_rows in _ERASE_ROWS.items():
            while await self._database.value(_HAS_ROWS[table], user_id):
                await self._execute(erase_rows, user_id, self._rows)
                time.check()
        confirmed = UserErasureConfirmed(user_id=user_id, erasure_id=data.erasure_id, service="webhooks", at=now())
        async with self._database.transaction() as connection:
            await outbox.append(connection, "user.erasure_confirmed", confirmed, subject=user_id)

    async def _erase_webhook(self, webhook_id: UUID, time: WorkTime) -> None:
        while (
            await self._execute(_ERASE_DELIVERIES, webhook_id, self._rows)
            or await self._database.value(_LOCKED_DELIVERY, webhook_id) is not None
        ):
            time.check()
        await self._execute(_ERASE_WEBHOOK, webhook_id)
        time.check()

    async def _execute(self, statement: str, *arguments: object) -> int:
        """Execute a statement in a transaction of its own; return the number of affected rows."""
        async with self._database.transaction() as connection:
            await allow_long_statements(connection, ERASURE_TIMEOUT)
            return row_count(await connection.execute(statement, *arguments, timeout=ERASURE_TIMEOUT))

    async def follow_access(self, data: UserChanged) -> None:
        """Disable the webhooks that a user may no longer have."""
        disabled = data.status == "disabled"
        kept = () if disabled else data.scopes
        if SCOPE_ALL in kept:
            return
        scopes = ["all"] if SCOPE_OWN in kept else ["own", "all"]
        reason: WebhookDisabledReason = "account_disabled" if disabled else "scope_removed"
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_OF_USER, data.user_id, scopes)
            await disable_webhooks(connection, [row["id"] for row in rows], reason)
