"""Purge of events, with their deliveries, of deletions, and of outbox rows."""

import asyncio
from functools import partial

from parley.messaging.outbox.store import purge
from parley.process.loop_steps import run_batches, run_step
from webhooks.database import Database

BATCH_SIZE = 1000
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


class EventPurger:
    """Deletes rows whose retention time is over. Several processes may purge at the same time."""

    def __init__(self, database: Database, *, retention_days: int) -> None:
        self._database, self._retention_days = database, retention_days

    async def run(self) -> None:
        """Purge every ``INTERVAL`` seconds."""
        while True:
            await run_step("purge", self._purge_all)
            await asyncio.sleep(INTERVAL)

    async def _purge_all(self) -> None:
        for statement in (_PURGE_EVENTS, _PURGE_REDACTIONS):
            await run_batches(partial(self._database.execute, statement, self._retention_days, BATCH_SIZE))
        async with self._database.connection() as connection:
            await run_batches(partial(purge, connection, retention=OUTBOX_RETENTION, confirmed_only=False))
