"""Queue consumer: declares, consumes, and starts again after a loss."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from aio_pika.exceptions import AMQPChannelError, ChannelNotFoundEntity

from parley_events import CloudEvent
from parley_events.connection import RECONNECT_DELAY, TOPOLOGY_RETRY_DELAY, SupervisedConnection
from parley_events.consuming.consumer import QueueConsumer
from parley_events.consuming.dispatcher import KeyedDispatcher
from parley_events.consuming.failure_policy import FailurePolicy
from parley_events.consuming.held_messages import REDUCED_FOR
from parley_events.subscription import Subscription
from parley_events.tasks import running
from parley_testing.contracts.bus import make_event
from parley_testing.fakes.amqp import FakeBroker, FakeChannel, FakeMessage
from parley_testing.virtual_time import virtual_time

ARGUMENTS = {"x-queue-type": "classic"}
MAX_HELD = 10_000


class Consuming:
    """A running consumer of a fake broker, and the events it has handled."""

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.handled: list[CloudEvent] = []
        self.may_handle = asyncio.Event()
        self.may_handle.set()
        subscription = Subscription(
            "q", ("user.*", "conversation.deleted"), self.handle, prefetch=7, max_held_bytes=MAX_HELD
        )
        self.connection = SupervisedConnection("amqp://broker/", name="test", connect=broker.connect)
        dispatcher = KeyedDispatcher(subscription, FailurePolicy())
        self.consumer = QueueConsumer(self.connection, subscription, ARGUMENTS, dispatcher)

    async def handle(self, event: CloudEvent) -> None:
        await self.may_handle.wait()
        self.handled.append(event)

    async def deliver(self, *events: CloudEvent) -> None:
        """Deliver events on the current channel, which may be given up meanwhile."""
        channel = self.channel
        for event in events:
            await channel.deliver(FakeMessage(event, channel))

    @property
    def channel(self) -> FakeChannel:
        return self.broker.connections[-1].channels[-1]


@contextlib.asynccontextmanager
async def consuming(broker: FakeBroker) -> AsyncIterator[Consuming]:
    made = Consuming(broker)
    async with running(made.connection.run, made.consumer.run):
        yield made


@virtual_time
async def test_the_queue_is_declared_and_bound_before_it_is_consumed() -> None:
    async with consuming(FakeBroker()) as made:
        assert await made.consumer.wait_consuming(1)
        assert made.channel.declared == [("q", ARGUMENTS)]
        assert made.channel.bindings == ["user.*", "conversation.deleted"]
        assert made.channel.prefetch == 7


@virtual_time
async def test_further_bindings_are_read_again_when_the_queue_is_declared_again() -> None:
    broker, further = FakeBroker(), [("#",), ()]

    async def read() -> Sequence[str]:
        return further.pop()

    subscription = Subscription("q", ("user.*",), _ignore, more_bindings=read)
    connection = SupervisedConnection("amqp://broker/", name="test", connect=broker.connect)
    consumer = QueueConsumer(connection, subscription, ARGUMENTS, KeyedDispatcher(subscription, FailurePolicy()))
    async with running(connection.run, consumer.run):
        for bindings in (["user.*"], ["user.*", "#"]):
            assert await consumer.wait_consuming(3 * RECONNECT_DELAY)
            channel = broker.connections[-1].channels[-1]
            assert channel.bindings == bindings
            channel.lose()
            await asyncio.sleep(0)


async def _ignore(_event: CloudEvent) -> None:
    """Handle an event by doing nothing."""


@virtual_time
async def test_a_delivered_event_is_handled_and_acknowledged() -> None:
    async with consuming(FakeBroker()) as made:
        await made.consumer.wait_consuming(1)
        event = make_event()
        message = FakeMessage(event, made.channel)
        await made.channel.deliver(message)
        await asyncio.sleep(0.01)
        assert made.handled == [event]
        assert message.outcome == "acknowledged"


@pytest.mark.parametrize("loss", ["connection", "channel", "queue"])
def test_consuming_starts_again_after_a_loss(loss: str) -> None:
    @virtual_time
    async def scenario() -> None:
        async with consuming(FakeBroker()) as made:
            await made.consumer.wait_consuming(1)
            lost = made.channel
            if loss == "connection":
                made.broker.connections[-1].lose()
                lost.lose()
            elif loss == "channel":
                lost.lose()
            else:
                lost.on_consumer_cancel_callbacks.notify(lost)
            await asyncio.sleep(0)
            assert not await made.consumer.wait_consuming(RECONNECT_DELAY / 2)
            assert await made.consumer.wait_consuming(3 * RECONNECT_DELAY)
            assert made.channel is not lost
            assert made.channel.declared == [("q", ARGUMENTS)]

    scenario()


@virtual_time
async def test_a_refused_declaration_is_logged_with_its_reason_and_retried_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = FakeBroker()
    broker.queue_errors.append(AMQPChannelError("PRECONDITION_FAILED"))
    async with consuming(broker) as made:
        assert not await made.consumer.wait_consuming(TOPOLOGY_RETRY_DELAY - 1)
        assert await made.consumer.wait_consuming(2)
    (record,) = [record for record in caplog.records if record.message == "consumer_refused"]
    assert (vars(record)["queue"], "PRECONDITION_FAILED" in vars(record)["reason"]) == ("q", True)


@virtual_time
async def test_what_is_not_found_is_named_in_the_log_and_declared_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    broker = FakeBroker()
    broker.queue_errors.append(ChannelNotFoundEntity("NOT_FOUND - no exchange 'parley.events'"))
    async with consuming(broker) as made:
        assert await made.consumer.wait_consuming(2 * RECONNECT_DELAY)
    (record,) = [record for record in caplog.records if record.message == "consumer_interrupted"]
    assert vars(record)["reason"] == "NOT_FOUND - no exchange 'parley.events'"


@virtual_time
async def test_an_unexpected_error_is_logged_and_does_not_end_the_consumer(caplog: pytest.LogCaptureFixture) -> None:
    broker = FakeBroker()
    broker.queue_errors.append(KeyError("a bug"))
    async with consuming(broker) as made:
        assert await made.consumer.wait_consuming(2 * RECONNECT_DELAY)
    assert caplog.messages.count("consumer_failed") == 1


@virtual_time
async def test_stopping_cancels_the_deliveries_and_closes_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    async with consuming(FakeBroker()) as made:
        await made.consumer.wait_consuming(1)
        channel = made.channel
        await made.consumer.stop()
        assert channel.consume_callback is None
        assert channel.is_closed
        await asyncio.sleep(0.1)
    assert "consumer_lost" not in caplog.messages


@virtual_time
async def test_a_channel_with_too_many_bytes_is_closed_and_the_next_one_has_a_lower_prefetch() -> None:
    async with consuming(FakeBroker()) as made:
        await made.consumer.wait_consuming(1)
        full = made.channel
        made.may_handle.clear()
        large = [replace(make_event(key="k"), data=b"x" * 3_000) for _ in range(5)]
        await made.deliver(*large)
        await asyncio.sleep(0.01)
        assert full.is_closed
        assert made.channel is not full
        assert (made.channel.prefetch, made.consumer.consuming.is_set()) == (3, True)
        made.may_handle.set()
        await asyncio.sleep(0.01)
        assert made.handled == large[:1]  # the others are delivered again


@virtual_time
async def test_a_lower_prefetch_ends_after_many_events() -> None:
    async with consuming(FakeBroker()) as made:
        await made.consumer.wait_consuming(1)
        made.may_handle.clear()
        await made.deliver(*(replace(make_event(), data=b"x" * 6_000) for _ in range(2)))
        made.may_handle.set()
        await asyncio.sleep(0.01)
        assert made.channel.prefetch == 1
        for _ in range(REDUCED_FOR + 1):
            await made.deliver(make_event())
            await asyncio.sleep(0.01)
        assert made.channel.prefetch == 7
        assert made.consumer.consuming.is_set()


@virtual_time
async def test_an_event_larger_than_the_limit_is_handled() -> None:
    async with consuming(FakeBroker()) as made:
        await made.consumer.wait_consuming(1)
        event = replace(make_event(), data=b"x" * 2 * MAX_HELD)
        await made.deliver(event)
        await asyncio.sleep(0.01)
        assert made.handled == [event]
