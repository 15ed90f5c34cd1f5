"""Purge of events, with their deliveries, of deleted webhooks, of deletions of items, of keys, and of outbox rows."""

import asyncio
from functools import partial

from parley.messaging.outbox.store import purge
from parley.process.loop_steps import run_batches, run_step
from webhooks.database import Database

BATCH_SIZE = 1000
EVENT_BATCH_SIZE = 200
"""Events that one statement deletes, with their bodies and up to 60 deliveries of each."""
INTERVAL = 60.0
OUTBOX_RETENTION = 86_400.0
"""Seconds that outbox rows are kept."""
_PURGE_EVENTS = """
DELETE FROM events WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM events WHERE received_at < now() - make_interval(days => $1)
    ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED
))"""
# Events from before the newest purged one are taken in without texts.
_PURGE_REDACTIONS = """
WITH purged AS (
    DELETE FROM redactions WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM redactions WHERE redacted_at < now() - make_interval(days => $1)
        ORDER BY redacted_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )) RETURNING redacted_at
)
INSERT INTO purged_redactions AS p (until) SELECT max(redacted_at) FROM purged HAVING count(*) > 0
ON CONFLICT (is_only_row) DO UPDATE SET until = greatest(p.until, excluded.until)"""

_PURGE_DELIVERIES = """
DELETE FROM deliveries WHERE ctid = ANY (ARRAY(
    SELECT found.ctid FROM (
        SELECT id FROM webhooks WHERE deleted_at IS NOT NULL ORDER BY deleted_at LIMIT $1
    ) AS w CROSS JOIN LATERAL (
        SELECT ctid FROM deliveries WHERE webhook_id = w.id LIMIT $1 FOR UPDATE SKIP LOCKED
    ) AS found LIMIT $1
))"""
# OFFSET 0: Postgres looks up the deliveries of each webhook, and reads no others.
_PURGE_WEBHOOKS = """
DELETE FROM webhooks WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM webhooks AS w
    WHERE deleted_at IS NOT NULL AND NOT EXISTS (SELECT FROM deliveries WHERE webhook_id = w.id OFFSET 0)
    ORDER BY deleted_at LIMIT $1 FOR UPDATE SKIP LOCKED
))"""

_PURGE_KEYS = """
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
    ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED
))"""


class EventPurger:
    """Deletes rows whose retention time is over. Several processes may purge at the same time."""

    def __init__(self, database: Database, *, retention_days: int, batch_size: int = BATCH_SIZE) -> None:
        """``batch_size``: rows that one statement deletes."""
        self._database, self._retention_days, self._batch_size = database, retention_days, batch_size

    async def run(self) -> None:
        """Purge every ``INTERVAL`` seconds."""
        while True:
            await run_step("purge", self._purge_all)
            await asyncio.sleep(INTERVAL)

    async def _purge_all(self) -> None:
        for statement, size in ((_PURGE_EVENTS, EVENT_BATCH_SIZE), (_PURGE_REDACTIONS, self._batch_size)):
            await run_batches(partial(self._database.execute, statement, self._retention_days, size))
        for statement in (_PURGE_DELIVERIES, _PURGE_WEBHOOKS, _PURGE_KEYS):
            await run_batches(partial(self._database.execute, statement, self._batch_size))
        async with self._database.connection() as connection:
            await run_batches(partial(purge, connection, retention=OUTBOX_RETENTION, confirmed_only=False))
