"""Outbox relay: one leader for each database publishes the waiting events, in order within each partition key."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import structlog

from parley.messaging.bus import Bus
from parley.messaging.outbox import store
from parley.messaging.outbox.publisher import OutboxPublisher
from parley.observability.metrics import Metrics
from parley.process.timeouts import at_most
from parley.storage import postgres
from parley.storage.postgres_errors import is_transient
from parley.storage.postgres_internals import detect_loss

log = structlog.get_logger()

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LOCK_KEY = 0x6F7574626F78
"""The advisory lock of the leader: "outbox" in ASCII."""
POLL_INTERVAL, MIN_INTERVAL = 0.1, 0.01
"""Seconds until the next fetch without a hint, and between two fetches at least: more transactions share one."""
STANDBY_INTERVAL = 1.0
BUS_DOWN_DELAY = 0.5
SESSION_SETTINGS = {
    "idle_session_timeout": "10s",
    "tcp_user_timeout": "10s",
    "statement_timeout": "5s",
    "synchronous_commit": "off",
}
"""PostgreSQL ends the session of a leader that is silent for this long, so that a frozen leader loses the lock.

Records need no flush to the disk: the events whose records a crash of the server loses are published again.
"""
PLANNER_SETTINGS = {**postgres.PLANNER_SETTINGS, "enable_bitmapscan": "off"}
"""Waiting events are read by a plain index scan. It removes the entries of sent events from the partial index, so that
the next scan does not visit them; a bitmap scan visits all of them until the next vacuum."""
COMMAND_TIMEOUT = 5.0
CLOSE_TIMEOUT = 2.0
BATCH_ROWS = 250
MAX_ROWS = 1000
"""Rows in hand at most. The limit leaves room for other keys when one key has a long backlog."""
REPORT_INTERVAL = 1.0


class OutboxRelay:
    """Publishes the outbox of one database; every replica runs ``lead`` in the background."""

    def __init__(self, dsn: str, bus: Bus, *, source: str, metrics: Metrics) -> None:
        """``source`` is the CloudEvents source of the events, such as ``/services/chat``."""
        self._dsn, self._bus, self._source, self._metrics = dsn, bus, source, metrics
        self._wake = asyncio.Event()
        self._fetched_at = float("-inf")
        self._reported_at = 0.0
        self._retry_at: dict[str, float] = {}
        """Keys with a failed event, and when their events are published again. Another leader does not wait."""
        self.leads = False
        """Whether this relay holds the lock."""

    def hint(self) -> None:
        """Fetch events now instead of at the next poll, because a transaction with an event was just committed."""
        self._wake.set()

    async def lead(self) -> None:
        """Wait for the lock, then publish until cancelled; start again after losing the database or its writer."""
        while True:
            try:
                async with self._connect() as connection:
                    await postgres.require_writable(connection)
                    await store.prepare(connection)
                    await self._acquire_lock(connection)
                    await self._publish(connection)
            except Exception as error:
                if not is_transient(error) and not isinstance(error, postgres.DatabaseReadOnly):
                    raise
                log.warning("relay_lost_database", reason=type(error).__name__)
            await asyncio.sleep(STANDBY_INTERVAL)

    @staticmethod
    async def _acquire_lock(connection: Connection) -> None:
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
            await asyncio.sleep(STANDBY_INTERVAL)
            await postgres.require_writable(connection)
        log.info("relay_leads")

    async def _publish(self, connection: Connection) -> None:
        """Fetch and record on the connection that holds the lock: without the lock, nothing can be recorded."""
        publisher = OutboxPublisher(self._bus, source=self._source, metrics=self._metrics, needs_attention=self._wake)
        self.leads = True
        self._retry_at.clear()
        try:
            async with publisher.cancelled_at_exit():
                while True:
                    await self._publish_batch(connection, publisher)
        finally:
            self.leads = False
            self._metrics.outbox_pending.set(0)
            self._metrics.outbox_lag.set(0)

    async def _publish_batch(self, connection: Connection, publisher: OutboxPublisher) -> None:
        results = publisher.take_results()
        delays = await store.record(connection, results.sent, results.failed)
        self._retry_at |= {key: time.monotonic() + delay for key, delay in delays.items()}
        publisher.release(results)
        await self._report(connection)
        if publisher.bus_is_down and not publisher.keys:
            await asyncio.sleep(BUS_DOWN_DELAY)
            publisher.bus_is_down = False
        rows = await self._fetch(connection, publisher)
        publisher.start(rows)
        if len(rows) < BATCH_ROWS:
            await self._wait()

    async def _fetch(self, connection: Connection, publisher: OutboxPublisher) -> list[store.OutboxRow]:
        limit = min(BATCH_ROWS, MAX_ROWS - publisher.rows)
        if limit <= 0 or publisher.bus_is_down:
            return []
        self._fetched_at = time.monotonic()
        self._retry_at = {key: at for key, at in self._retry_at.items() if at > self._fetched_at}
        return await store.fetch_waiting(connection, limit, without=publisher.keys | self._retry_at.keys())

    async def _wait(self) -> None:
        """Wait for the next poll, a hint, or results to record."""
        async with at_most(POLL_INTERVAL):
            await self._wake.wait()
        await asyncio.sleep(max(0.0, self._fetched_at + MIN_INTERVAL - time.monotonic()))

    async def _report(self, connection: Connection) -> None:
        if time.monotonic() - self._reported_at < REPORT_INTERVAL:
            return
        self._reported_at = time.monotonic()
        # Without this, a leader with nothing to record would stay connected to a server that was demoted.
        await postgres.require_writable(connection)
        backlog = await store.backlog(connection)
        self._metrics.outbox_pending.set(backlog["pending"])
        self._metrics.outbox_lag.set(backlog["oldest_age_s"])

    @contextlib.asynccontextmanager
    async def _connect(self) -> AsyncIterator[Connection]:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=COMMAND_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            max_cached_statement_lifetime=0,  # a leader prepares none again: see ``store.prepare``
            server_settings={**SESSION_SETTINGS, **PLANNER_SETTINGS, "application_name": "parley-relay"},
        )
        detect_loss(connection)
        try:
            yield connection
        finally:
            await _close(connection)


async def _close(connection: Connection) -> None:
    # A graceful close releases the lock at once.
    try:
        await connection.close(timeout=CLOSE_TIMEOUT)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        connection.terminate()
