"""A recording bus, and a relay that publishes to it."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from parley.messaging.outbox.relay import OutboxRelay
from parley.observability.metrics import Metrics
from parley.process.tasks import background
from parley.storage.postgres import Pool
from parley_testing.fakes.recording_bus import RecordingBus

Append = Callable[..., Awaitable[None]]


@pytest.fixture
def bus() -> RecordingBus:
    return RecordingBus()


@pytest.fixture
def append(pool: Pool) -> Append:
    """Append events of a key, each in its own transaction."""

    async def appended(key: str, count: int = 1) -> None:
        for _ in range(count):
            await pool.execute(
                "SELECT outbox_append(gen_random_uuid(), 'user.updated', $1, $1, '{\"a\": \"grüße\"}'::jsonb)", key
            )

    return appended


@pytest.fixture
async def relay(dsn: str, bus: RecordingBus, metrics: Metrics) -> AsyncIterator[OutboxRelay]:
    made = OutboxRelay(dsn, bus, source="/services/test", metrics=metrics)
    async with background("relay", made.lead):
        yield made
