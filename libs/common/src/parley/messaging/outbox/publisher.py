"""Outbox publisher: publishes rows of many partition keys concurrently, and those of one key in order."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from parley.messaging.bus import Bus, BusDown, PublishError
from parley.messaging.outbox.store import OutboxRow, to_event
from parley.observability.metrics import Metrics

log = structlog.get_logger()

MAX_UNCONFIRMED = 64
"""Events that wait for the bus's confirm at the same time."""
PUBLISH_TIMEOUT = 90.0
"""Seconds after which a publish has failed: longer than the in-memory bus lets a handler run."""
REFILL_ROWS = 500
"""Rows in hand below which the relay should record results and fetch more rows."""


@dataclass(slots=True)
class PublishResults:
    """Results since the last call of ``take_results``."""

    sent: list[UUID] = field(default_factory=list)
    failed: list[UUID] = field(default_factory=list)
    finished_keys: list[str] = field(default_factory=list)
    """Keys without rows in hand; fetch their rows again only after the results are recorded."""


class OutboxPublisher:
    """Publishes the rows of each key one after the other, until the first failure of the key."""

    def __init__(self, bus: Bus, *, source: str, metrics: Metrics, needs_attention: asyncio.Event) -> None:
        """``needs_attention`` is set when few rows are in hand and results wait to be recorded."""
        self._bus, self._source, self._metrics = bus, source, metrics
        self._slots = asyncio.Semaphore(MAX_UNCONFIRMED)
        self._tasks: set[asyncio.Task[None]] = set()
        self._results = PublishResults()
        self.keys: set[str] = set()
        """Keys whose rows must not be fetched at the moment."""
        self.rows = 0
        """Number of rows in hand."""
        self.needs_attention = needs_attention
        self.bus_is_down = False
        """Whether the bus has raised ``BusDown``."""

    def start(self, rows: Iterable[OutboxRow]) -> None:
        """Start to publish rows, which are in order within each key."""
        keys: dict[str, list[OutboxRow]] = defaultdict(list)
        for row in rows:
            keys[row["partition_key"]].append(row)
        for key, waiting in keys.items():
            self.keys.add(key)
            self.rows += len(waiting)
            task = asyncio.create_task(self._publish_key(key, waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def take_results(self) -> PublishResults:
        """Return the results since the last call."""
        taken, self._results = self._results, PublishResults()
        self.needs_attention.clear()
        return taken

    def release(self, results: PublishResults) -> None:
        """Allow fetching the finished keys again, after their results are recorded."""
        self.keys.difference_update(results.finished_keys)

    @contextlib.asynccontextmanager
    async def cancelled_at_exit(self) -> AsyncIterator[None]:
        """Cancel all publishes when the context is left."""
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _publish_key(self, key: str, rows: Sequence[OutboxRow]) -> None:
        try:
            for row in rows:
                async with self._slots:
                    if not await self._publish(row):
                        break
        finally:
            self.rows -= len(rows)
            self._results.finished_keys.append(key)
            if self.rows <= REFILL_ROWS and (self.rows == 0 or len(self._results.sent) >= REFILL_ROWS // 2):
                self.needs_attention.set()

    async def _publish(self, row: OutboxRow) -> bool:
        if self.bus_is_down:
            return False
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT):
                await self._bus.publish(to_event(row, self._source))
        except BusDown as error:
            self._note_bus_down(error)
            return False
        except (PublishError, TimeoutError) as error:
            log.warning("event_not_published", name=row["name"], id=str(row["id"]), reason=str(error))
        except Exception:
            # An unexpected error fails this event only: other keys continue, and the event is retried after a delay.
            log.exception("event_not_publishable", name=row["name"], id=str(row["id"]))
        else:
            self._results.sent.append(row["id"])
            self._metrics.events_published.labels(row["name"]).inc()
            return True
        self._metrics.publish_failures.labels(row["name"]).inc()
        self._results.failed.append(row["id"])
        return False

    def _note_bus_down(self, error: BusDown) -> None:
        if not self.bus_is_down:
            log.warning("bus_down", reason=str(error))
        self.bus_is_down = True
