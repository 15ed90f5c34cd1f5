"""Monitor of a database: whether it responds and accepts writes, for readiness. Keeps the minimum of connections."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Literal

import structlog

from parley.errors import DependencyUnavailable
from parley.storage.database import PostgresDatabase
from parley.storage.postgres import DatabaseReadOnly, Pool, keep_open, require_writable, translate_unavailable

log = structlog.get_logger()

CHECK_INTERVAL = 1.0
KEEP_OPEN_INTERVAL = 60.0
"""Seconds between two uses of the minimum of connections; less than asyncpg's limit on idle time of 300 s."""
UNREACHABLE_AFTER = 3
"""Failed checks in a row after which a database counts as unreachable; one may only be slow."""

Unavailability = Literal["database_read_only", "database_unreachable"]


class DatabaseMonitor:
    """Checks the database every second and reports each change: None, or why it cannot be written to.

    A read-only server makes the monitor replace the pooled connections, because new ones may reach the new writer.
    """

    def __init__(self, pool: Pool, report: Callable[[Unavailability | None], None]) -> None:
        self._pool, self._database, self._report = pool, PostgresDatabase(pool), report
        self._found: Unavailability | None = None
        self._failures = 0
        self._kept_open_at = time.monotonic()

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self.check()
            await self._keep_open()
            await asyncio.sleep(CHECK_INTERVAL)

    async def check(self) -> None:
        """Check once. A pool without a free connection is busy, which says nothing about the database."""
        if self._pool.get_idle_size() == 0 and self._pool.get_size() == self._pool.get_max_size():
            return
        found = await self._check()
        if found != self._found:
            log.warning("database_availability_changed", unavailable=found)
            self._found = found
            self._report(found)

    async def _keep_open(self) -> None:
        if time.monotonic() - self._kept_open_at < KEEP_OPEN_INTERVAL:
            return
        self._kept_open_at = time.monotonic()
        with contextlib.suppress(DependencyUnavailable), translate_unavailable():
            await keep_open(self._pool)

    async def _check(self) -> Unavailability | None:
        try:
            async with self._database.connection() as connection:
                await require_writable(connection)
        except DatabaseReadOnly:
            self._failures = 0
            await self._database.discard_connections()
            return "database_read_only"
        except DependencyUnavailable:
            self._failures += 1
            return "database_unreachable" if self._failures >= UNREACHABLE_AFTER else self._found
        self._failures = 0
        return None
