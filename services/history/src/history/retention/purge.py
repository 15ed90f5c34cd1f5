"""Purge of deleted conversations and of expired feed, inbox, outbox and import-key rows."""

import asyncio
from collections.abc import Awaitable, Callable

from history.database import Database
from parley.messaging.outbox.store import purge
from parley.process.loop_steps import run_batches, run_step
from parley.storage.postgres import Connection, row_count

ROW_BATCH_SIZE = 1000
CONVERSATION_BATCH_SIZE = 50
"""Conversations purged in one transaction, with thousands of messages each. After a failure, half as many follow."""
OUTBOX_RETENTION = 86_400.0
"""Seconds that outbox rows are kept."""
INBOX_RETENTION_DAYS = 30

_DUE_CONVERSATIONS = """
SELECT conversation_id FROM conversation_tombstones WHERE purged_at IS NULL AND purge_after <= now()
ORDER BY purge_after LIMIT $1 FOR UPDATE SKIP LOCKED"""
# The outbox is last, and its rows are locked in the order of their ids: see docs/locks.md.
_PURGE_CONVERSATIONS = (
    "DELETE FROM conversations WHERE id = ANY($1::uuid[])",
    "UPDATE turns SET metadata = '{}', error = NULL, request_id = NULL WHERE conversation_id = ANY($1::uuid[])",
    "UPDATE conversation_tombstones SET purged_at = now() WHERE conversation_id = ANY($1::uuid[])",
    """
    WITH locked AS (
        SELECT id FROM outbox
        WHERE name IN ('conversation.created', 'conversation.updated')
          AND partition_key = ANY($1::uuid[]::text[])
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE outbox AS o SET data = o.data || CASE o.name
        WHEN 'conversation.created' THEN '{"title": null, "metadata": {}}'::jsonb ELSE '{"changed": {}}'::jsonb END
    FROM locked WHERE o.id = locked.id""",
)
# The physical places of the locked rows: no plan but to go there, see docs/query-plans.md.
_PURGE_FEED = """
DELETE FROM feed WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM feed WHERE stored_at < now() - make_interval(secs => $1)
    ORDER BY stored_at LIMIT $2 FOR UPDATE SKIP LOCKED
))"""
_PURGE_INBOX = """
DELETE FROM inbox WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM inbox WHERE received_at < now() - make_interval(days => $1)
    ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED
))"""
_PURGE_IMPORT_KEYS = """
DELETE FROM import_keys WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM import_keys WHERE created_at < now() - interval '24 hours'
    ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED
))"""


class Purger:
    """Deletes rows whose retention time is over. Several processes may purge at the same time."""

    def __init__(self, database: Database, *, feed_retention: float) -> None:
        self._database, self._feed_retention = database, feed_retention
        self._conversations = CONVERSATION_BATCH_SIZE

    async def purge_batch(self) -> int:
        """Delete one batch from each table; return the number of rows and conversations deleted."""
        async with self._database.connection() as connection:
            return (
                await self._purge_conversations(connection)
                + row_count(await connection.execute(_PURGE_FEED, self._feed_retention, ROW_BATCH_SIZE))
                + row_count(await connection.execute(_PURGE_INBOX, INBOX_RETENTION_DAYS, ROW_BATCH_SIZE))
                + row_count(await connection.execute(_PURGE_IMPORT_KEYS, ROW_BATCH_SIZE))
                + await purge(connection, retention=OUTBOX_RETENTION, confirmed_only=False)
            )

    async def _purge_conversations(self, connection: Connection) -> int:
        limit, self._conversations = self._conversations, max(1, self._conversations // 2)
        async with connection.transaction():
            due = [row["conversation_id"] for row in await connection.fetch(_DUE_CONVERSATIONS, limit)]
            if due:
                for statement in _PURGE_CONVERSATIONS:
                    await connection.execute(statement, due)
        self._conversations = min(CONVERSATION_BATCH_SIZE, 2 * limit)
        return len(due)


async def purge_periodically(purge_batch: Callable[[], Awaitable[int]], interval: float) -> None:
    """Purge batch after batch until nothing is due, then wait ``interval`` seconds; runs until cancelled."""
    while True:
        await run_step("purge", lambda: run_batches(purge_batch))
        await asyncio.sleep(interval)
