"""Webhooks of users who were erased, disabled, or lost a scope, and stored events of which items were deleted."""

from parley.messaging import outbox
from parley.storage.erasure import ERASURE_TIMEOUT
from parley.storage.postgres import allow_long_statements
from parley.times import now
from parley_events.models import TurnRedacted, UserChanged, UserErased, UserErasureConfirmed
from parley_events.webhook_models import WebhookDisabledReason
from webhooks.database import ERASURE_LOCK, EXCLUSIVE_ERASURE_LOCK, Database
from webhooks.deliveries.body import kept_texts, redacted_body
from webhooks.endpoints.disabling import disable_webhooks
from webhooks.scopes import SCOPE_ALL, SCOPE_OWN

_TOMBSTONE = "INSERT INTO user_tombstones (user_id) VALUES ($1) ON CONFLICT DO NOTHING"
_ERASE = (
    "DELETE FROM webhooks WHERE user_id = $1",
    "DELETE FROM events WHERE user_id = $1",
    "DELETE FROM redactions WHERE user_id = $1",
)
_OF_USER = "SELECT id FROM webhooks WHERE user_id = $1 AND scope = ANY ($2) AND status <> 'disabled' FOR NO KEY UPDATE"
# Returns nothing for an event that is older than what is known, and after an erasure.
_RECORD = """
INSERT INTO redactions AS r (turn_id, partition_key, user_id, revision, untitled, kept)
SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT FROM user_tombstones WHERE user_id = $3)
ON CONFLICT (turn_id) DO UPDATE SET
    revision = excluded.revision, untitled = r.untitled OR excluded.untitled, kept = excluded.kept
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

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self, data: UserErased) -> None:
        """Delete the webhooks of a user and every event about the user, and confirm it through the outbox.

        The tombstone is committed first: nothing is added after it, and nobody waits while everything is deleted.
        """
        confirmed = UserErasureConfirmed(user_id=data.user_id, erasure_id=data.erasure_id, service="webhooks", at=now())
        async with self._database.transaction() as connection:
            await connection.execute(EXCLUSIVE_ERASURE_LOCK)
            await connection.execute(_TOMBSTONE, data.user_id)
        async with self._database.transaction() as connection:
            await allow_long_statements(connection, ERASURE_TIMEOUT)
            for statement in _ERASE:
                await connection.execute(statement, data.user_id, timeout=ERASURE_TIMEOUT)
            await outbox.append(connection, "user.erasure_confirmed", confirmed, subject=data.user_id)

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
