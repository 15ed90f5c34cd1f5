"""Subscriber on RabbitMQ: the contract of subscribers, and the broker's side of it."""

import asyncio
import logging
from typing import ClassVar

import pytest
from aio_pika import connect as connect_to

from parley.messaging.rabbit_bus import RabbitBus
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_events import CloudEvent, Gap, Subscriber, TopologyError, TurnEnded
from parley_events.connection import connect
from parley_events.testing import sample
from parley_events.topology import EVENT_LOG, EVENTS_EXCHANGE, Arguments
from parley_testing.backends.rabbitmq_fixtures import OpenBus
from parley_testing.contracts.bus import publish_until_confirmed
from parley_testing.contracts.subscriber import SequenceRecorder, SubscriberContract
from parley_testing.faults import processes

pytestmark = pytest.mark.integration


class RabbitEvents:
    """The real broker, published to as Parley's services do."""

    idle = 10.0

    def __init__(self, bus: RabbitBus, url: str) -> None:
        self.url, self.connect, self._bus = url, connect, bus

    async def publish(self, *events: CloudEvent) -> None:
        for event in events:
            await self._bus.publish(event)

    async def delete_queue(self, queue: str) -> None:
        async with await connect_to(self.url, timeout=10) as connection:
            await (await connection.channel()).queue_delete(queue)


class TestSubscriberOnRabbitMQ(SubscriberContract):
    @pytest.fixture
    def broker_of_events(self, own_bus: RabbitBus, broker: EmbeddedRabbitMQ) -> RabbitEvents:
        return RabbitEvents(own_bus, broker.url)


class TestSubscriberOnQuorumQueues(TestSubscriberOnRabbitMQ):
    options: ClassVar = {"queue_type": "quorum"}
    test_a_replay_ends_where_the_log_ended_when_it_began_and_continues_there = None  # type: ignore[assignment]  # reads no queue


@pytest.mark.chaos
async def test_a_replay_continues_after_the_broker_was_killed_without_repeating_events(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ
) -> None:
    subscriber = Subscriber(broker.url, "sub.replay")
    start = await subscriber.replay("next")
    events = [sample(TurnEnded) for _ in range(400)]
    for event in events:
        await publish_until_confirmed(own_bus, event)
    handled: list[str] = []
    killed = asyncio.Event()

    @subscriber.on(TurnEnded)
    async def handle(_turn: TurnEnded, event: CloudEvent) -> None:
        handled.append(str(event.id))
        if len(handled) == 50:
            await processes.restart(broker, port=broker.port)
            killed.set()

    await subscriber.replay(start, idle=2)
    assert killed.is_set()
    assert handled == [str(event.id) for event in events]


async def test_a_wrong_password_ends_a_replay_and_is_named(broker: EmbeddedRabbitMQ) -> None:
    url = f"amqp://parley:wrong@127.0.0.1:{broker.port}/"
    with pytest.raises(TopologyError, match="refuses the user or the password"):
        await Subscriber(url, "sub.replay").replay("first")


async def test_a_wrong_password_is_logged_once_as_such_without_tracebacks(
    broker: EmbeddedRabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    subscriber = Subscriber(f"amqp://parley:wrong@127.0.0.1:{broker.port}/", "sub.team.q")
    subscriber.on(TurnEnded)(SequenceRecorder())
    with caplog.at_level(logging.WARNING):
        task = asyncio.create_task(subscriber.run())
        async with asyncio.timeout(20):
            while not caplog.records:
                await asyncio.sleep(0.02)
        subscriber.stop()
        await task
    (record,) = caplog.records
    assert record.message.startswith("broker_login_refused connection=sub.team.q reason=RabbitMQ refuses the user")
    assert "the user or the password" in vars(record)["reason"]
    assert record.exc_info is None


async def test_a_replay_reports_the_offsets_that_the_log_of_the_broker_has_deleted(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, open_bus: OpenBus
) -> None:
    gaps: list[Gap] = []

    async def note(gap: Gap) -> None:
        gaps.append(gap)

    handler = SequenceRecorder()
    subscriber = Subscriber(broker.url, "sub.replay", on_gap=note)
    subscriber.on(TurnEnded)(handler)
    async with await connect_to(broker.url, timeout=10) as connection:
        channel = await connection.channel()
        await channel.queue_delete(EVENT_LOG)
        limits: Arguments = {
            "x-queue-type": "stream",
            "x-max-length-bytes": 20_000,
            "x-stream-max-segment-size-bytes": 10_000,
        }
        log = await channel.declare_queue(EVENT_LOG, durable=True, arguments=limits)
        try:
            await log.bind(EVENTS_EXCHANGE, "#")
            for _ in range(60):
                await own_bus.publish(sample(TurnEnded))
            await subscriber.replay(1)
        finally:
            await channel.queue_delete(EVENT_LOG)
    async with open_bus():  # declares the log again
        pass
    oldest = handler.offsets[0]
    assert oldest is not None
    assert oldest > 1
    assert gaps == [Gap(EVENT_LOG, "", 1, oldest - 1, of_log=True)]
