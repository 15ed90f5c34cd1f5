"""A service outside of Parley that hears every event of turns, and can say whether anything is missing or misplaced."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from parley_events.cloudevents import CloudEvent
from parley_events.models import EventData, TurnEnded, TurnStarted
from parley_events.subscriber import Subscriber
from parley_testing.waiting import eventually

QUEUE = "sub.test.listener"
START_SECONDS = 15.0


@dataclass
class EventRecorder:
    """What was heard so far."""

    deliveries: Counter[UUID] = field(default_factory=Counter)
    ended: Counter[UUID] = field(default_factory=Counter)
    """Terminal events by turn, each counted once however often it came."""
    sequences: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    """Sequences by source and partition key, in the order of their first occurrences."""

    async def hear(self, data: EventData, event: CloudEvent) -> None:
        """Note one delivery."""
        self.deliveries[event.id] += 1
        if self.deliveries[event.id] > 1:
            return
        self.sequences[event.source, event.partition_key].append(event.sequence)
        if isinstance(data, TurnEnded):
            self.ended[data.turn_id] += 1

    @property
    def duplicates(self) -> int:
        """How many deliveries were repetitions."""
        return self.deliveries.total() - len(self.deliveries)

    async def expect(self, turns: Iterable[str], *, within: float) -> None:
        """Wait until the end of each turn was heard; asserts that each ended once, and everything came in order."""
        wanted = {UUID(turn) for turn in turns}
        await eventually(lambda: wanted <= self.ended.keys(), within=within, message="not every turn's end was heard")
        assert {self.ended[turn] for turn in wanted} == {1}, "a turn ended twice"
        misplaced = self.misplaced()
        assert misplaced == {}, f"events are missing or out of order: {misplaced}"

    async def begin_anew(self, turn: str, *, within: float) -> None:
        """Forget the order so far, once the end of ``turn`` was heard: a broker that lost its data lost some of it."""
        await eventually(lambda: self.ended[UUID(turn)], within=within, message="the turn's end was not heard")
        self.sequences.clear()

    def misplaced(self) -> dict[tuple[str, str], list[int]]:
        """Return the sequences that are not 1, 2, 3 …, by source and key."""
        return {key: found for key, found in self.sequences.items() if found != list(range(1, len(found) + 1))}


@contextlib.asynccontextmanager
async def record_events(amqp_url: str, queue: str = QUEUE) -> AsyncIterator[EventRecorder]:
    """Listen on a durable queue while the context is entered, over restarts of the broker."""
    listener, subscriber = EventRecorder(), Subscriber(amqp_url, queue)
    subscriber.on(TurnStarted)(listener.hear)
    subscriber.on(TurnEnded)(listener.hear)
    running = asyncio.create_task(subscriber.run())
    try:
        async with asyncio.timeout(START_SECONDS):
            await subscriber.consuming.wait()
        yield listener
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
