"""Disabling of webhooks, with the event that tells of it."""

from collections.abc import Sequence
from uuid import UUID

from parley.messaging import outbox
from parley.storage.postgres import Connection
from parley.times import now
from parley_events.webhook_models import WebhookDisabled, WebhookDisabledReason

_DISABLE = """
UPDATE webhooks SET status = 'disabled', disabled_reason = $2 WHERE id = $1 AND status <> 'disabled'
RETURNING user_id, scope, failing_since"""


async def disable_webhooks(connection: Connection, webhook_ids: Sequence[UUID], reason: WebhookDisabledReason) -> None:
    """Disable webhooks within the caller's transaction, and publish an event for each."""
    for webhook_id in webhook_ids:
        row = await connection.fetchrow(_DISABLE, webhook_id, reason)
        if row is not None:
            data = WebhookDisabled(
                webhook_id=webhook_id,
                user_id=row["user_id"],
                scope=row["scope"],
                reason=reason,
                failing_since=row["failing_since"],
                at=now(),
            )
            await outbox.append(connection, "webhook.disabled", data, subject=row["user_id"])
