"""The relay: one leader for each database publishes what waits in the outbox, in order for each partition key."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import orjson
import structlog

from parley import postgres
from parley.bus.ports import Bus, PublishError
from parley.cloudevents import CloudEvent
from parley.metrics import Metrics

log = structlog.get_logger()

LOCK_KEY = 0x6F7574626F78
"""The advisory lock that its leader holds: "outbox" in ASCII."""
POLL = 0.1
STANDBY = 1.0
HEARTBEAT = 3.0
IDLE_SESSION_TIMEOUT = "10s"
"""The server ends the session of a leader that says nothing for so long: a frozen one loses its lock."""
BATCH = 500
IN_FLIGHT = 64
COMMAND_TIMEOUT = 5.0
FIRST_RETRY, LONGEST_RETRY = 0.2, 10.0

_FETCH = """
SELECT id, name, version, subject, partition_key, sequence, time, traceparent, data, attempts
FROM outbox AS o
WHERE sent_at IS NULL AND NOT EXISTS (
    SELECT FROM outbox AS w
    WHERE w.partition_key = o.partition_key AND w.sequence <= o.sequence
      AND w.sent_at IS NULL AND w.next_attempt_at > now()
)
ORDER BY position LIMIT $1"""
_SENT = "UPDATE outbox SET sent_at = now() WHERE id = ANY($1::uuid[])"
_FAILED = """
UPDATE outbox SET attempts = attempts + 1,
    next_attempt_at = now() + make_interval(secs => least($2 * 2 ^ least(attempts, 20), $3))
WHERE id = ANY($1::uuid[])"""
_BACKLOG = "SELECT count(*) AS pending, extract(epoch FROM now() - min(time)) AS age FROM outbox WHERE sent_at IS NULL"
_PURGE = """
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox
    WHERE sent_at < now() - make_interval(secs => $1) AND (NOT $2 OR confirmed_at IS NOT NULL)
    ORDER BY sent_at LIMIT 1000
)"""


class Relay:
    """Publishes the outbox of one database; run ``lead`` in the background of every replica."""

    def __init__(self, dsn: str, bus: Bus, *, source: str, metrics: Metrics) -> None:
        """Take the database, the bus, and the ``source`` of this service's events."""
        self._dsn, self._bus, self._source, self._metrics = dsn, bus, source, metrics
        self._hint = asyncio.Event()
        self._last_backlog = 0.0

    def hint(self) -> None:
        """Say that an event was just committed here: saves the wait for the next poll."""
        self._hint.set()

    async def lead(self) -> None:
        """Wait until the lock is ours, then publish until the connection breaks; never returns by itself."""
        async with self._connection() as connection:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
                await asyncio.sleep(STANDBY)
            log.info("relay leads")
            while True:
                # Reading on the connection that holds the lock: whoever lost the one cannot do the other.
                full = await self.publish_waiting(connection) == BATCH
                await self._report(connection)
                if not full:
                    await self._pause()

    async def publish_waiting(self, connection: Any) -> int:
        """Publish one batch of what waits; returns how many rows it looked at."""
        rows = await connection.fetch(_FETCH, BATCH)
        if not rows:
            return 0
        sent, failed = await self._publish(rows, connection)
        if sent:
            await connection.execute(_SENT, sent)
        if failed:
            await connection.execute(_FAILED, failed, FIRST_RETRY, LONGEST_RETRY)
        return len(rows)

    async def _publish(self, rows: Sequence[Any], connection: Any) -> tuple[list[Any], list[Any]]:
        keys: dict[str, list[Any]] = defaultdict(list)
        for row in rows:
            keys[row["partition_key"]].append(row)
        sent: list[Any] = []
        failed: list[Any] = []
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def publish_key(waiting: list[Any]) -> None:
            async with slots:
                for row in waiting:
                    if not await self._try(row):
                        failed.append(row["id"])
                        return
                    sent.append(row["id"])

        async with asyncio.TaskGroup() as group:
            beat = group.create_task(_keep_awake(connection))
            await asyncio.gather(*(publish_key(waiting) for waiting in keys.values()))
            beat.cancel()
        return sent, failed

    async def _try(self, row: Any) -> bool:
        event = to_event(row, self._source)
        try:
            await self._bus.publish(event)
        except PublishError as error:
            log.warning("event not published", type=event.type, id=str(event.id), reason=str(error))
            return False
        self._metrics.events_published.labels(event.name).inc()
        return True

    async def _pause(self) -> None:
        self._hint.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL):
                await self._hint.wait()

    async def _report(self, connection: Any) -> None:
        if time.monotonic() - self._last_backlog < 1:
            return
        self._last_backlog = time.monotonic()
        found = await backlog(connection)
        self._metrics.outbox_pending.set(found["pending"])
        self._metrics.outbox_lag.set(found["oldest_age_s"])

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=COMMAND_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            server_settings={"idle_session_timeout": IDLE_SESSION_TIMEOUT, "application_name": "parley-relay"},
        )
        await postgres.prepare(connection)
        try:
            yield connection
        finally:
            connection.terminate()


async def _keep_awake(connection: Any) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT)
        await connection.execute("SELECT 1")


def to_event(row: Any, source: str) -> CloudEvent:
    """Return the event that an outbox row holds."""
    return CloudEvent(
        id=row["id"],
        source=source,
        name=row["name"],
        version=row["version"],
        subject=row["subject"],
        time=row["time"],
        partition_key=row["partition_key"],
        sequence=row["sequence"],
        data=orjson.dumps(row["data"]),
        traceparent=row["traceparent"],
    )


async def backlog(connection: Any) -> dict[str, Any]:
    """Return how many events wait and how old (seconds) the oldest is, as ``/status`` shows it."""
    row = await connection.fetchrow(_BACKLOG)
    return {"pending": row["pending"], "oldest_age_s": round(float(row["age"] or 0), 1)}


async def purge(connection: Any, *, retention: float, confirmed_only: bool) -> int:
    """Delete up to 1,000 events sent more than ``retention`` seconds ago; returns how many."""
    done: str = await connection.execute(_PURGE, retention, confirmed_only)
    return int(done.rsplit(maxsplit=1)[-1])
