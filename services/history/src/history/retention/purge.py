"""Removing what has served its time."""

from history.database import Database
from parley.messaging.outbox.store import purge
from parley.storage.postgres import Connection

BATCH = 1000
CONVERSATIONS = 50
"""Conversations purged in one transaction: each may have thousands of messages."""
OUTBOX_RETENTION = 86_400.0
INBOX_RETENTION_DAYS = 30

_DUE = """
SELECT conversation_id FROM conversation_tombstones WHERE purged_at IS NULL AND purge_after <= now()
ORDER BY purge_after LIMIT $1 FOR UPDATE SKIP LOCKED"""
_PURGE = (
    "DELETE FROM conversations WHERE id = ANY($1::uuid[])",
    "UPDATE turns SET metadata = '{}', error = NULL, request_id = NULL WHERE conversation_id = ANY($1::uuid[])",
    "UPDATE conversation_tombstones SET purged_at = now() WHERE conversation_id = ANY($1::uuid[])",
    """
    UPDATE outbox SET data = data || CASE name
        WHEN 'conversation.created' THEN '{"title": null, "metadata": {}}'::jsonb ELSE '{"changed": {}}'::jsonb END
    WHERE name IN ('conversation.created', 'conversation.updated')
      AND partition_key IN (SELECT unnest($1::uuid[])::text)""",
)
_FEED = """
DELETE FROM feed WHERE (user_id, position) IN (
    SELECT user_id, position FROM feed WHERE stored_at < now() - make_interval(secs => $1) ORDER BY stored_at LIMIT $2
)"""
_INBOX = """
DELETE FROM inbox WHERE event_id IN (
    SELECT event_id FROM inbox WHERE received_at < now() - make_interval(days => $1) ORDER BY received_at LIMIT $2
)"""

_KEYS = """
DELETE FROM import_keys WHERE (user_id, key) IN (
    SELECT user_id, key FROM import_keys WHERE created_at < now() - interval '24 hours' ORDER BY created_at LIMIT $1
)"""


class PostgresJanitor:
    """Purges deleted conversations, and the old ends of feed, inbox and outbox; any number may run at once."""

    def __init__(self, database: Database, *, feed_retention: float) -> None:
        """Take the database, and the seconds that the feed reaches back."""
        self._database, self._feed_retention = database, feed_retention

    async def sweep(self) -> int:
        """Remove one batch of everything; returns how many rows went."""
        async with self._database.connection() as connection:
            return (
                await self._conversations(connection)
                + _count(await connection.execute(_FEED, self._feed_retention, BATCH))
                + _count(await connection.execute(_INBOX, INBOX_RETENTION_DAYS, BATCH))
                + _count(await connection.execute(_KEYS, BATCH))
                + await purge(connection, retention=OUTBOX_RETENTION, confirmed_only=False)
            )

    async def _conversations(self, connection: Connection) -> int:
        async with connection.transaction():
            due = [row["conversation_id"] for row in await connection.fetch(_DUE, CONVERSATIONS)]
            if due:
                for statement in _PURGE:
                    await connection.execute(statement, due)
        return len(due)


def _count(done: str) -> int:
    return int(done.rsplit(maxsplit=1)[-1])
