"""A bus that notes what it is given, and a relay to it."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from parley.messaging.bus import BusDown, PublishError
from parley.messaging.outbox.relay import OutboxRelay
from parley.observability.metrics import Metrics
from parley.process.tasks import background
from parley.storage.postgres import Pool
from parley_events.cloudevents import CloudEvent

Append = Callable[..., Awaitable[None]]


class RecordingBus:
    """A bus that confirms, refuses and hangs as told."""

    def __init__(self) -> None:
        self.published: dict[str, list[int]] = defaultdict(list)
        self.attempts: Counter[str] = Counter()
        self.refused_keys: set[str] = set()
        self.broken_keys: set[str] = set()
        self.in_flight: Counter[str] = Counter()
        self.most_in_flight = 0
        self.is_down = False
        self.may_confirm = asyncio.Event()
        self.may_confirm.set()

    async def publish(self, event: CloudEvent) -> None:
        key = event.partition_key
        self.attempts[key] += 1
        if self.is_down:
            raise BusDown("down")
        self.in_flight[key] += 1
        assert self.in_flight[key] == 1, "two events of one key in flight"
        self.most_in_flight = max(self.most_in_flight, self.in_flight.total())
        try:
            await asyncio.sleep(0)
            await self.may_confirm.wait()
        finally:
            self.in_flight[key] -= 1
        if key in self.broken_keys:
            raise ValueError("a bug")
        if key in self.refused_keys:
            raise PublishError("refused")
        self.published[key].append(event.sequence)

    def consume(self, subscription: object) -> object:
        raise NotImplementedError

    async def ping(self) -> None:
        pass

    @property
    def count(self) -> int:
        return sum(map(len, self.published.values()))


@pytest.fixture
def bus() -> RecordingBus:
    return RecordingBus()


@pytest.fixture
def append(pool: Pool) -> Append:
    """Write some events of a key, each in a transaction of its own."""

    async def appended(key: str, count: int = 1) -> None:
        for _ in range(count):
            await pool.execute(
                "SELECT outbox_append(gen_random_uuid(), 'user.updated', $1, $1, '{\"a\": \"grüße\"}'::jsonb)", key
            )

    return appended


@pytest.fixture
async def relay(dsn: str, bus: RecordingBus, metrics: Metrics) -> AsyncIterator[OutboxRelay]:
    made = OutboxRelay(dsn, bus, source="/services/test", metrics=metrics)  # type: ignore[arg-type]
    async with background("relay", made.lead):
        yield made
