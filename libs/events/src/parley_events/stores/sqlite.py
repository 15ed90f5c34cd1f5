"""Idempotency store in a SQLite database."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from parley_events.cloudevents import CloudEvent
from parley_events.stores import FORGET_BATCH, KEPT_FOR

BUSY_TIMEOUT = 5.0
_TABLES = """
CREATE TABLE IF NOT EXISTS parley_handled_events (event_id TEXT PRIMARY KEY, handled_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS parley_sequences (
    source TEXT, key TEXT, sequence INTEGER NOT NULL, PRIMARY KEY (source, key)
);
CREATE TABLE IF NOT EXISTS parley_offsets (name TEXT PRIMARY KEY, log_offset INTEGER NOT NULL);
"""
_SAVE_SEQUENCE = """
INSERT INTO parley_sequences VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET sequence = max(sequence, excluded.sequence)
"""
_SAVE_OFFSET = "INSERT INTO parley_offsets VALUES (?, ?) ON CONFLICT DO UPDATE SET log_offset = excluded.log_offset"
_FORGET = """
DELETE FROM parley_handled_events WHERE rowid IN (
    SELECT rowid FROM parley_handled_events WHERE handled_at < ? LIMIT ?
)
"""


class SqliteStore:
    """Remembers handled events, sequences and offsets in a SQLite file, which may be the application's own."""

    def __init__(self, path: str | Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT, check_same_thread=False)
        self._connection.executescript(_TABLES)
        # One connection has one transaction: handlers of other keys wait for it.
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def once(self, event: CloudEvent) -> AsyncIterator[sqlite3.Connection | None]:
        """Yield the connection in a transaction, or None if the event was handled before.

        The transaction is committed at the end of the block, and rolled back after an exception.
        """
        async with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                row = (str(event.id), datetime.now(UTC).timestamp())
                done = self._connection.execute("INSERT OR IGNORE INTO parley_handled_events VALUES (?, ?)", row)
                yield self._connection if done.rowcount else None
                self._connection.execute("COMMIT")
            except BaseException:
                # A COMMIT that found the database locked has left the transaction open; other errors may have ended it.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    async def last_sequence(self, source: str, key: str) -> int | None:
        """Return the last handled sequence of a source and key, or None."""
        query = "SELECT sequence FROM parley_sequences WHERE source = ? AND key = ?"
        return await self._value(query, source, key)

    async def save_sequence(self, source: str, key: str, sequence: int) -> None:
        """Keep a sequence, unless a higher one is kept already."""
        async with self._lock:
            self._connection.execute(_SAVE_SEQUENCE, (source, key, sequence))

    async def load_offset(self, name: str) -> int | None:
        """Return the offset saved under a name, or None."""
        return await self._value("SELECT log_offset FROM parley_offsets WHERE name = ?", name)

    async def save_offset(self, name: str, offset: int) -> None:
        """Save an offset."""
        async with self._lock:
            self._connection.execute(_SAVE_OFFSET, (name, offset))

    async def forget(self, kept_for: timedelta = KEPT_FOR) -> int:
        """Delete the IDs of events handled longer ago than ``kept_for``; return how many. Call it once a day."""
        before = (datetime.now(UTC) - kept_for).timestamp()
        forgotten, last = 0, FORGET_BATCH
        while last == FORGET_BATCH:
            async with self._lock:
                last = self._connection.execute(_FORGET, (before, FORGET_BATCH)).rowcount
            forgotten += last
            await asyncio.sleep(0)  # events are handled between two batches
        return forgotten

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    async def _value(self, query: str, *parameters: str) -> int | None:
        async with self._lock:
            row = self._connection.execute(query, parameters).fetchone()
        return None if row is None else int(row[0])
