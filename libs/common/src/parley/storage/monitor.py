"""Monitor of a database: whether it responds and accepts writes, for readiness."""

import asyncio
from collections.abc import Callable
from typing import Literal

import asyncpg
import structlog

from parley.errors import DependencyUnavailable
from parley.process.timeouts import lag_tolerant_timeout
from parley.storage.connection_gate import ConnectionGate
from parley.storage.database import PostgresDatabase
from parley.storage.postgres import (
    COMMAND_TIMEOUT,
    Connection,
    DatabaseReadOnly,
    Pool,
    require_writable,
    translate_unavailable,
)

log = structlog.get_logger()

CHECK_INTERVAL = 1.0
LOSS_TIMEOUT = 3.0
"""Seconds without a response after which a server counts as lost."""
UNREACHABLE_AFTER = 3
"""Failed checks in a row after which a database counts as unreachable; one may only be slow."""

Unavailability = Literal["database_read_only", "database_unreachable"]


class DatabaseMonitor:
    """Checks the database every second and reports each change: None, or why it cannot be written to.

    A read-only server makes the monitor replace the pooled connections, because new ones may reach the new writer. A
    server that does not respond makes it close the gate: statements fail at once until a probe succeeds.
    """

    def __init__(
        self,
        pool: Pool,
        gate: ConnectionGate,
        report: Callable[[Unavailability | None], None],
        *,
        loss_timeout: float = LOSS_TIMEOUT,
    ) -> None:
        """Take the gate through which ``pool`` connects."""
        self._pool, self._gate, self._report = pool, gate, report
        self._database, self._loss_timeout = PostgresDatabase(pool), loss_timeout
        self._found: Unavailability | None = None
        self._failures = self._busy = 0

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(CHECK_INTERVAL)

    async def check(self) -> None:
        """Check once. A pool without a free connection may only be busy: at the next check, a new one is opened."""
        busy = self._pool.get_idle_size() == 0 and self._pool.get_size() == self._pool.get_max_size()
        self._busy = self._busy + 1 if busy else 0
        if self._busy == 1 and not self._gate.lost:
            return
        found = await self._check(pooled=not busy and not self._gate.lost)
        if found != self._found:
            log.warning("database_availability_changed", unavailable=found)
            self._found = found
            self._report(found)

    async def _check(self, *, pooled: bool) -> Unavailability | None:
        try:
            with translate_unavailable():
                await (self._probe_pool() if pooled else self._probe_server())
        except DatabaseReadOnly:
            self._failures = 0
            self._gate.open()
            await self._database.discard_connections()
            return "database_read_only"
        except DependencyUnavailable as error:
            if isinstance(error.__cause__, TimeoutError) and not self._gate.lost:
                log.warning("database_lost", seconds=self._loss_timeout)
                self._gate.close()
            self._failures += 1
            return "database_unreachable" if self._failures >= UNREACHABLE_AFTER else self._found
        self._failures = 0
        self._gate.open()
        return None

    async def _probe_pool(self) -> None:
        acquired = False
        try:
            async with self._pool.acquire(timeout=self._loss_timeout) as connection:
                acquired = True
                await self._require_writable(connection)
        except OSError:  # also a TimeoutError
            if acquired:
                raise
            await self._probe_server()  # others may have taken the last free connection

    async def _probe_server(self) -> None:
        async with lag_tolerant_timeout(self._loss_timeout):
            connection = await self._gate.open_probe()
        try:
            await self._require_writable(connection)
        finally:
            connection.terminate()

    async def _require_writable(self, connection: "Connection | asyncpg.Connection[asyncpg.Record]") -> None:
        try:
            async with lag_tolerant_timeout(self._loss_timeout):
                await require_writable(connection, timeout=COMMAND_TIMEOUT)
        except OSError:  # also a TimeoutError
            connection.terminate()  # else the pool waits for a lost server to cancel the statement
            raise
