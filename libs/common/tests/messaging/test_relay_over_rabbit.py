"""Outbox, relay, broker, and consumer: during a broker outage, no event is lost or reordered."""

import asyncio
import time
from collections import defaultdict

import asyncpg
import pytest

from parley.messaging.outbox.relay import OutboxRelay
from parley.messaging.rabbit_bus import RabbitBus
from parley.observability.metrics import Metrics
from parley.process.tasks import background
from parley.storage.postgres import Pool
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_events.cloudevents import CloudEvent
from parley_events.subscription import Subscription
from parley_testing.faults import processes
from parley_testing.waiting import eventually

pytestmark = pytest.mark.integration

KEYS, EACH = 20, 50
DRAIN_TIMEOUT = 60.0


class FirstDeliveries:
    """Sequences by key in the order of their first delivery, and the number of repeated deliveries."""

    def __init__(self) -> None:
        self.sequences: dict[str, list[int]] = defaultdict(list)
        self.repeated = 0

    async def __call__(self, event: CloudEvent) -> None:
        if event.sequence in self.sequences[event.partition_key]:
            self.repeated += 1
        else:
            self.sequences[event.partition_key].append(event.sequence)

    @property
    def count(self) -> int:
        return sum(map(len, self.sequences.values()))


async def write(pool: Pool, rounds: int) -> None:
    """Append one event of each key, several times."""
    for _ in range(rounds):
        await pool.execute(
            "SELECT outbox_append(gen_random_uuid(), 'user.updated', 'k' || key, 'k' || key, '{}'::jsonb)"
            " FROM generate_series(1, $1) AS key",
            KEYS,
        )
        await asyncio.sleep(0.02)


async def is_drained(pool: Pool) -> bool:
    try:
        return not await pool.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
    except asyncpg.PostgresError:
        return False


@pytest.mark.parametrize("fault", [pytest.param("killed", marks=pytest.mark.chaos), "frozen"])
async def test_a_broker_outage_delays_events_and_loses_none(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, pool: Pool, dsn: str, queue: str, metrics: Metrics, fault: str
) -> None:
    received = FirstDeliveries()
    relay = OutboxRelay(dsn, own_bus, source="/services/test", metrics=metrics)
    async with own_bus.consume(Subscription(queue, ("user.*",), received)), background("relay", relay.lead):
        writing = asyncio.create_task(write(pool, EACH))
        await eventually(lambda: received.count > KEYS)
        if fault == "killed":
            await processes.crash(broker, port=broker.port)
            await writing
            assert not await is_drained(pool), "the kill came too late to prove anything"
            await broker.start()
        else:
            async with processes.frozen(broker.child):
                await writing
                assert not await is_drained(pool), "the freeze came too late to prove anything"
        began = time.monotonic()
        await eventually(lambda: is_drained(pool), within=DRAIN_TIMEOUT)
        await eventually(lambda: received.count == KEYS * EACH, within=DRAIN_TIMEOUT - (time.monotonic() - began))
    assert received.sequences == {f"k{key}": list(range(1, EACH + 1)) for key in range(1, KEYS + 1)}
