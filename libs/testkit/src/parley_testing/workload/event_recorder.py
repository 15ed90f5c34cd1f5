"""External subscriber that records the events of turns and finds missing and misplaced ones."""

import asyncio
import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from parley_events.client_logs import PACKAGE, FieldsInMessage
from parley_events.cloudevents import CloudEvent
from parley_events.models import EventData, TurnEnded, TurnStarted
from parley_events.subscriber import Subscriber
from parley_testing.waiting import eventually

QUEUE = "sub.test.listener"
START_SECONDS = 60.0


@dataclass
class EventRecorder:
    """The events received so far."""

    deliveries: Counter[UUID] = field(default_factory=Counter)
    ended: Counter[UUID] = field(default_factory=Counter)
    """Number of distinct terminal events of each turn."""
    sequences: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    """Sequences by source and partition key, in the order of their first occurrences."""

    async def record(self, data: EventData, event: CloudEvent) -> None:
        """Record a delivery."""
        self.deliveries[event.id] += 1
        if self.deliveries[event.id] > 1:
            return
        self.sequences[event.source, event.partition_key].append(event.sequence)
        if isinstance(data, TurnEnded):
            self.ended[data.turn_id] += 1

    @property
    def duplicates(self) -> int:
        """The number of repeated deliveries."""
        return self.deliveries.total() - len(self.deliveries)

    async def expect(self, turns: Iterable[str], *, within: float) -> None:
        """Wait for the end of each turn; assert that each ended once and that all events came in order."""
        wanted = {UUID(turn) for turn in turns}
        await eventually(lambda: wanted <= self.ended.keys(), within=within, message="the end of a turn did not arrive")
        assert {self.ended[turn] for turn in wanted} == {1}, "a turn ended twice"
        misplaced = self.misplaced()
        assert misplaced == {}, f"events are missing or out of order: {misplaced}"

    async def reset(self, turn: str, *, within: float) -> None:
        """Wait for the end of ``turn``, then forget the sequences: a wiped broker lost some events."""
        await eventually(lambda: self.ended[UUID(turn)], within=within, message="the turn's end did not arrive")
        self.sequences.clear()

    def misplaced(self) -> dict[tuple[str, str], list[int]]:
        """Return the sequences that are not 1, 2, 3, …, by source and key."""
        return {key: found for key, found in self.sequences.items() if found != list(range(1, len(found) + 1))}


@contextlib.asynccontextmanager
async def record_events(amqp_url: str, queue: str = QUEUE) -> AsyncIterator[EventRecorder]:
    """Record from a durable queue in a context; the subscription survives restarts of the broker."""
    listener, subscriber = EventRecorder(), Subscriber(amqp_url, queue)
    subscriber.on(TurnStarted)(listener.record)
    subscriber.on(TurnEnded)(listener.record)
    running = asyncio.create_task(subscriber.run())
    try:
        async with asyncio.timeout(START_SECONDS):
            await subscriber.consuming.wait()
        _keep_messages()
        yield listener
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _keep_messages() -> None:
    """Undo what a subscriber does to log messages: it may run as long as the session, and other tests read them."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(PACKAGE):
            logger = logging.getLogger(name)
            for found in [each for each in logger.filters if isinstance(each, FieldsInMessage)]:
                logger.removeFilter(found)
