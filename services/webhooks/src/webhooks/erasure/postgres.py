"""Webhooks of users who were erased, disabled, or lost a scope."""

from parley.messaging import outbox
from parley.times import now
from parley_events.models import UserChanged, UserErased, UserErasureConfirmed
from parley_events.webhook_models import WebhookDisabledReason
from webhooks.database import EXCLUSIVE_ERASURE_LOCK, Database
from webhooks.endpoints.disabling import disable_webhooks
from webhooks.scopes import SCOPE_ALL, SCOPE_OWN

ERASURE_TIMEOUT = 50.0
"""Seconds for each statement: a user may have many deliveries."""
_ERASE = (
    "INSERT INTO user_tombstones (user_id) VALUES ($1) ON CONFLICT DO NOTHING",
    "DELETE FROM webhooks WHERE user_id = $1",
    "DELETE FROM events WHERE user_id = $1",
)
_OF_USER = "SELECT id FROM webhooks WHERE user_id = $1 AND scope = ANY ($2) AND status <> 'disabled' FOR NO KEY UPDATE"


class PostgresUserWebhooks:
    """Follows what becomes of users. Each call is one transaction and is safe to repeat."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self, data: UserErased) -> None:
        """Delete the webhooks of a user and every event about the user, and confirm it through the outbox."""
        confirmed = UserErasureConfirmed(user_id=data.user_id, erasure_id=data.erasure_id, service="webhooks", at=now())
        async with self._database.transaction() as connection:
            await connection.execute(f"SET LOCAL statement_timeout = '{int(ERASURE_TIMEOUT)}s'")
            await connection.execute(EXCLUSIVE_ERASURE_LOCK)
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
