"""Idempotency store in a Postgres database, with asyncpg."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from parley_events.cloudevents import CloudEvent
from parley_events.stores import FORGET_BATCH, KEPT_FOR

STATEMENT_TIMEOUT = 10.0
# Two replicas that start at the same time: IF NOT EXISTS does not see a table that another transaction is creating.
_TABLES = """
SELECT pg_advisory_xact_lock(hashtextextended('parley_events.stores.postgres', 0));
CREATE TABLE IF NOT EXISTS parley_handled_events (
    event_id uuid PRIMARY KEY, handled_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS parley_sequences (
    source text, key text, sequence bigint NOT NULL, PRIMARY KEY (source, key)
);
CREATE TABLE IF NOT EXISTS parley_offsets (name text PRIMARY KEY, log_offset bigint NOT NULL);
"""
_NOTE_HANDLED = "INSERT INTO parley_handled_events (event_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING 1"
_SAVE_SEQUENCE = """
INSERT INTO parley_sequences AS kept VALUES ($1, $2, $3)
ON CONFLICT (source, key) DO UPDATE SET sequence = greatest(kept.sequence, excluded.sequence)
"""
_SAVE_OFFSET = """
INSERT INTO parley_offsets VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET log_offset = excluded.log_offset
"""
# The pages are those of the primary key: a search for old rows would read the deleted ones of earlier pages again.
_FORGET = """
WITH page AS (
    SELECT event_id, handled_at FROM parley_handled_events WHERE event_id > $1 ORDER BY event_id LIMIT $2
), forgotten AS (
    DELETE FROM parley_handled_events WHERE event_id = ANY (ARRAY(
        SELECT event_id FROM page WHERE handled_at < now() - $3::interval))
)
SELECT event_id FROM page ORDER BY event_id DESC LIMIT 1
"""


class PostgresStore:
    """Remembers handled events, sequences and offsets in the application's database. Call ``prepare`` first."""

    def __init__(self, pool: Any) -> None:
        """``pool`` is a pool of asyncpg."""
        self._pool: asyncpg.Pool = pool

    async def prepare(self) -> None:
        """Create the tables, if they do not exist. Several processes may do so at the same time."""
        await self._pool.execute(_TABLES, timeout=STATEMENT_TIMEOUT)

    @contextlib.asynccontextmanager
    async def once(self, event: CloudEvent) -> AsyncIterator[Any]:
        """Yield a connection in a transaction, or None if the event was handled before.

        The transaction is committed at the end of the block, and rolled back after an exception. A second delivery of
        the same event waits for the first.
        """
        async with self._pool.acquire(timeout=STATEMENT_TIMEOUT) as connection, connection.transaction():
            is_new = await connection.fetchval(_NOTE_HANDLED, event.id, timeout=STATEMENT_TIMEOUT)
            yield connection if is_new else None

    async def last_sequence(self, source: str, key: str) -> int | None:
        """Return the last handled sequence of a source and key, or None."""
        return await self._value("SELECT sequence FROM parley_sequences WHERE source = $1 AND key = $2", source, key)

    async def save_sequence(self, source: str, key: str, sequence: int) -> None:
        """Keep a sequence, unless a higher one is kept already."""
        await self._pool.execute(_SAVE_SEQUENCE, source, key, sequence, timeout=STATEMENT_TIMEOUT)

    async def load_offset(self, name: str) -> int | None:
        """Return the offset saved under a name, or None."""
        return await self._value("SELECT log_offset FROM parley_offsets WHERE name = $1", name)

    async def save_offset(self, name: str, offset: int) -> None:
        """Save an offset."""
        await self._pool.execute(_SAVE_OFFSET, name, offset, timeout=STATEMENT_TIMEOUT)

    async def forget(self, kept_for: timedelta = KEPT_FOR) -> None:
        """Delete the IDs of events handled longer ago than ``kept_for``. Call it once a day."""
        page: UUID | None = UUID(int=0)
        while page is not None:
            page = await self._pool.fetchval(_FORGET, page, FORGET_BATCH, kept_for, timeout=STATEMENT_TIMEOUT)

    async def _value(self, query: str, *parameters: str) -> int | None:
        found: int | None = await self._pool.fetchval(query, *parameters, timeout=STATEMENT_TIMEOUT)
        return found
