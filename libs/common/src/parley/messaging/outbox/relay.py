"""The relay: one leader for each database publishes what waits in the outbox, in order for each partition key."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import structlog

from parley.messaging.bus import Bus
from parley.messaging.outbox import store
from parley.messaging.outbox.publisher import Dispatch
from parley.messaging.outbox.store import backlog, purge
from parley.observability.metrics import Metrics
from parley.storage import postgres

__all__ = ["Relay", "backlog", "purge"]

log = structlog.get_logger()

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LOCK_KEY = 0x6F7574626F78
"""The advisory lock that its leader holds: "outbox" in ASCII."""
POLL, GATHER = 0.1, 0.01
"""Seconds until the next look when nobody gives a hint, and after one: others may have committed meanwhile."""
STANDBY = 1.0
BUS_DOWN_PAUSE = 0.5
SESSION_LIMITS = {"idle_session_timeout": "10s", "tcp_user_timeout": "10s", "statement_timeout": "5s"}
"""The server ends the session of a leader that says nothing for so long: a frozen one loses its lock."""
COMMAND_TIMEOUT = 5.0
CLOSE_TIMEOUT = 2.0
BATCH = 250
MOST_ROWS = 1000
"""Rows in hand at most, so that one key's long backlog leaves room for the others."""
REPORT = 1.0


class Relay:
    """Publishes the outbox of one database; run ``lead`` in the background of every replica."""

    def __init__(self, dsn: str, bus: Bus, *, source: str, metrics: Metrics) -> None:
        """Take the database, the bus, and the ``source`` of this service's events."""
        self._dsn, self._bus, self._source, self._metrics = dsn, bus, source, metrics
        self._hint = asyncio.Event()
        self._reported = 0.0
        self.leads = False
        """Whether this relay holds the lock."""

    def hint(self) -> None:
        """Say that an event was just committed here: saves the wait for the next poll."""
        self._hint.set()

    async def lead(self) -> None:
        """Wait until the lock is ours, then publish; begins again when the database goes away, never returns."""
        while True:
            try:
                async with self._connection() as connection:
                    await self._win(connection)
                    await self._publish_for_ever(connection)
            except postgres.POSTGRES_UNAVAILABLE as error:
                log.warning("relay lost its database", reason=type(error).__name__)
            await asyncio.sleep(STANDBY)

    @staticmethod
    async def _win(connection: Connection) -> None:
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
            await asyncio.sleep(STANDBY)
        log.info("relay leads")

    async def _publish_for_ever(self, connection: Connection) -> None:
        """Read and record on the connection that holds the lock: whoever lost the one cannot do the other."""
        dispatch = Dispatch(self._bus, source=self._source, metrics=self._metrics)
        self.leads = True
        try:
            async with dispatch.cancelled_at_exit():
                while True:
                    await self._turn(connection, dispatch)
        finally:
            self.leads = False
            self._metrics.outbox_pending.set(0)
            self._metrics.outbox_lag.set(0)

    async def _turn(self, connection: Connection, dispatch: Dispatch) -> None:
        results = dispatch.take_results()
        await store.record(connection, results.sent, results.failed)
        dispatch.release(results)
        await self._report(connection)
        if dispatch.bus_is_down and not dispatch.keys:
            await asyncio.sleep(BUS_DOWN_PAUSE)
            dispatch.bus_is_down = False
        self._hint.clear()
        rows = await self._fetch(connection, dispatch)
        dispatch.start(rows)
        if len(rows) < BATCH:
            await self._pause(dispatch)

    @staticmethod
    async def _fetch(connection: Connection, dispatch: Dispatch) -> list[store.Row]:
        room = min(BATCH, MOST_ROWS - dispatch.rows)
        if room <= 0 or dispatch.bus_is_down:
            return []
        return await store.fetch_waiting(connection, room, without=dispatch.keys)

    async def _pause(self, dispatch: Dispatch) -> None:
        """Wait for the next poll, a hint, or results that make room."""
        waits = [asyncio.create_task(event.wait()) for event in (self._hint, dispatch.progress)]
        try:
            await asyncio.wait(waits, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        await asyncio.sleep(GATHER)

    async def _report(self, connection: Connection) -> None:
        if time.monotonic() - self._reported < REPORT:
            return
        self._reported = time.monotonic()
        found = await backlog(connection)
        self._metrics.outbox_pending.set(found["pending"])
        self._metrics.outbox_lag.set(found["oldest_age_s"])

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=COMMAND_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            server_settings={**SESSION_LIMITS, "application_name": "parley-relay"},
        )
        try:
            yield connection
        finally:
            await _close(connection)


async def _close(connection: Connection) -> None:
    """Close politely, so that the lock is free at once, else hard."""
    try:
        await connection.close(timeout=CLOSE_TIMEOUT)
    except (*postgres.POSTGRES_UNAVAILABLE, asyncpg.PostgresError):
        connection.terminate()
