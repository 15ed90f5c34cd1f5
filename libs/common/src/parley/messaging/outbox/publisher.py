"""The events a relay has in hand: many keys in flight, one event of each key."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from parley.messaging.bus import Bus, BusDown, PublishError
from parley.messaging.outbox.store import Row, to_event
from parley.observability.metrics import Metrics

log = structlog.get_logger()

IN_FLIGHT = 64
"""Events that wait for their confirm at the same time."""
PUBLISH_LIMIT = 90.0
"""Seconds after which a publish is given up: more than any handler of the in-process bus may take."""
REFILL = 500
"""Rows in hand at which it is time to record results and fetch more."""


@dataclass(slots=True)
class Results:
    """What happened since the last look; the keys may be fetched again once this is recorded."""

    sent: list[Any] = field(default_factory=list)
    failed: list[Any] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)


class Dispatch:
    """Publishes rows, each key's one after the other, until the first of the key fails."""

    def __init__(self, bus: Bus, *, source: str, metrics: Metrics) -> None:
        """Take the bus and the source of the events."""
        self._bus, self._source, self._metrics = bus, source, metrics
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._tasks: set[asyncio.Task[None]] = set()
        self._results = Results()
        self.keys: set[str] = set()
        """Keys in hand: their rows must not be fetched."""
        self.rows = 0
        """Rows in hand."""
        self.progress = asyncio.Event()
        """Set when little or nothing is left in hand."""
        self.bus_is_down = False
        """Whether the bus refused without looking at the event."""

    def start(self, rows: Iterable[Row]) -> None:
        """Begin to publish rows, which are in order within each key."""
        keys: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            keys[row["partition_key"]].append(row)
        for key, waiting in keys.items():
            self.keys.add(key)
            self.rows += len(waiting)
            task = asyncio.create_task(self._publish_key(key, waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def take_results(self) -> Results:
        """Return what happened since the last call."""
        taken, self._results = self._results, Results()
        self.progress.clear()
        return taken

    def release(self, results: Results) -> None:
        """Let the keys be fetched again whose results are recorded."""
        self.keys.difference_update(results.finished)

    @contextlib.asynccontextmanager
    async def cancelled_at_exit(self) -> AsyncIterator[None]:
        """Stop publishing when the context is left."""
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _publish_key(self, key: str, rows: Sequence[Row]) -> None:
        try:
            for row in rows:
                async with self._slots:
                    if not await self._publish(row):
                        break
        finally:
            self.rows -= len(rows)
            self._results.finished.append(key)
            if self.rows <= REFILL and (self.rows == 0 or len(self._results.sent) >= REFILL // 2):
                self.progress.set()

    async def _publish(self, row: Row) -> bool:
        if self.bus_is_down:
            return False
        try:
            async with asyncio.timeout(PUBLISH_LIMIT):
                await self._bus.publish(to_event(row, self._source))
        except BusDown as error:
            self._note_down(error)
            return False
        except (PublishError, TimeoutError) as error:
            log.warning("event not published", name=row["name"], id=str(row["id"]), reason=str(error))
        except Exception:
            # Whatever is wrong with one event must hold up no key but its own, and must not be tried without a pause.
            log.exception("event cannot be published", name=row["name"], id=str(row["id"]))
        else:
            self._results.sent.append(row["id"])
            self._metrics.events_published.labels(row["name"]).inc()
            return True
        self._results.failed.append(row["id"])
        return False

    def _note_down(self, error: BusDown) -> None:
        if not self.bus_is_down:
            log.warning("events wait for the bus", reason=str(error))
        self.bus_is_down = True
