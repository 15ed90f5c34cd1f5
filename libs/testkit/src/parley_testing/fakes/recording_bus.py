"""Recording bus: confirms, refuses, fails, or delays publishes as a test tells it."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from parley.messaging.bus import BusDown, PublishError
from parley_events.cloudevents import CloudEvent
from parley_events.subscription import Subscription


class RecordingBus:
    """A bus for publishers; it asserts that no two events of a key are in flight."""

    def __init__(self) -> None:
        """Confirm every publish at first."""
        self.published: dict[str, list[int]] = defaultdict(list)
        """Sequences of the confirmed events, by key."""
        self.attempts: Counter[str] = Counter()
        self.refused_keys: set[str] = set()
        self.failing_keys: set[str] = set()
        """Keys whose publishes fail with an unexpected error."""
        self.in_flight: Counter[str] = Counter()
        self.max_in_flight = 0
        self.is_down = False
        self.may_confirm = asyncio.Event()
        """Publishes wait while it is cleared."""
        self.may_confirm.set()

    async def publish(self, event: CloudEvent) -> None:
        """Record the event, or raise an error."""
        key = event.partition_key
        self.attempts[key] += 1
        if self.is_down:
            raise BusDown("down")
        self.in_flight[key] += 1
        assert self.in_flight[key] == 1, "two events of one key are in flight"
        self.max_in_flight = max(self.max_in_flight, self.in_flight.total())
        try:
            await asyncio.sleep(0)
            await self.may_confirm.wait()
        finally:
            self.in_flight[key] -= 1
        if key in self.failing_keys:
            raise ValueError("a bug")
        if key in self.refused_keys:
            raise PublishError("refused")
        self.published[key].append(event.sequence)

    def consume(self, subscription: Subscription) -> AbstractAsyncContextManager[None]:
        """Raise NotImplementedError: the bus only publishes."""
        raise NotImplementedError

    async def bind(self, queue: str, routing_key: str) -> None:
        """Raise NotImplementedError: the bus only publishes."""
        raise NotImplementedError

    async def ping(self) -> None:
        """Return."""

    async def waiting(self, queues: Sequence[str]) -> dict[str, int]:
        """Return nothing: the bus has no queues."""
        del queues
        return {}

    @property
    def count(self) -> int:
        """The number of confirmed events."""
        return sum(map(len, self.published.values()))
