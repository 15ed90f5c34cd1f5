"""RabbitMQ bus: the bus contract, and publishing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from parley.messaging.bus import Bus, PublishError
from parley.messaging.outbox.publisher import MAX_UNCONFIRMED
from parley.messaging.rabbit_bus import RabbitBus, open_rabbit
from parley.observability.metrics import Metrics
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_events.cloudevents import CloudEvent
from parley_events.subscription import Batching, Subscription
from parley_testing.backends.rabbitmq_fixtures import get_one
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.contracts.bus import BusContract, make_event
from parley_testing.fakes.recording_handler import RecordingHandler
from parley_testing.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
async def amqp_url(backends: SharedBackends) -> str:
    return await backends.fresh_amqp_url()


class TestRabbitBusContract(BusContract):
    @pytest.fixture
    async def bus(self, amqp_url: str, metrics: Metrics) -> AsyncIterator[Bus]:
        async with open_rabbit(amqp_url, service="test", queue_type="classic", metrics=metrics) as opened:
            yield opened


async def test_events_are_delivered_from_a_quorum_queue(own_bus: RabbitBus, queue: str) -> None:
    handler = RecordingHandler()
    own_bus._queue_type = "quorum"  # the shared node's dead letters stay classic
    async with asyncio.timeout(20):
        async with own_bus.consume(Subscription(queue, ("user.*",), handler)):
            sent = make_event("user.updated")
            await own_bus.publish(sent)
            await eventually(lambda: handler.seen == [sent], within=20)


async def test_large_events_that_wait_are_held_up_to_a_limit_of_bytes(own_bus: RabbitBus, queue: str) -> None:
    handled: list[CloudEvent] = []
    sizes: list[int] = []

    async def handle_batch(events: Sequence[CloudEvent]) -> Sequence[CloudEvent]:
        await asyncio.sleep(0.02)  # the broker sends what it may meanwhile
        sizes.append(own_bus._consumers[queue]._held.size)
        handled.extend(event for event in events if event not in handled)
        return ()

    batching = Batching(handle_batch, max_events=8)
    subscription = Subscription(
        queue, ("user.*",), RecordingHandler(), prefetch=60, batching=batching, max_held_bytes=1_000_000
    )
    async with own_bus.consume(subscription):
        pass
    sent = [replace(make_event("user.updated", key="k", sequence=n + 1), data=b" " * 150_000) for n in range(40)]
    for event in sent:
        await own_bus.publish(event)
    async with own_bus.consume(subscription):
        await eventually(lambda: len(handled) == len(sent), within=30)
        assert own_bus._consumers[queue]._held.prefetch == 6
    assert handled == sent
    assert max(sizes) <= 1_000_000


async def test_an_event_that_is_too_large_is_refused_without_closing_the_channel(own_bus: RabbitBus) -> None:
    with pytest.raises(PublishError, match="bytes"):
        await own_bus.publish(replace(make_event(), data=b" " * 15_000_001))
    await own_bus.publish(make_event())


async def test_publishes_that_start_together_are_written_together(own_bus: RabbitBus) -> None:
    underlay: Any = own_bus._underlay
    before = underlay.delivery_tag
    async with asyncio.TaskGroup() as publishes:
        for _ in range(MAX_UNCONFIRMED):
            publishes.create_task(own_bus.publish(make_event()))
        for _ in range(3):
            await asyncio.sleep(0)
        assert underlay.delivery_tag - before == MAX_UNCONFIRMED


async def test_each_publish_has_its_own_message_id_and_the_same_event_id(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str
) -> None:
    event = make_event("user.updated")
    async with own_bus.consume(Subscription(queue, ("user.*",), RecordingHandler())):
        pass
    await own_bus.publish(event)
    await own_bus.publish(event)
    first, _, first_id = await get_one(broker, queue)
    second, _, second_id = await get_one(broker, queue)
    assert first == second == event
    assert first_id
    assert second_id
    assert first_id != second_id
