"""RabbitMQ bus on a fake broker: the errors of publishing, outages, and consuming without a broker."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest
import structlog
from aio_pika.exceptions import AMQPChannelError, AMQPConnectionError, ChannelNotFoundEntity, DeliveryError
from aio_pika.exceptions import PublishError as UnroutableError
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from parley.messaging.bus import BusDown, PublishError
from parley.messaging.rabbit_bus import MAX_EVENT_BYTES, STARTUP_TIMEOUT, RabbitBus
from parley.observability.metrics import Metrics
from parley_events.cloudevents import CloudEvent
from parley_events.connection import HEALTH_CHECK_INTERVAL, RECONNECT_DELAY, TOPOLOGY_RETRY_DELAY
from parley_events.subscription import Subscription
from parley_testing.contracts.bus import make_event
from parley_testing.fakes.amqp import FakeBroker, FakeChannel, FakeConnection, FakeMessage
from parley_testing.virtual_time import virtual_time

RETURNED = DeliveredMessage(
    Basic.Return(312, "NO_ROUTE", "parley.events", "x"), ContentHeader(), b"", cast("Any", None)
)


@contextlib.asynccontextmanager
async def running(broker: FakeBroker) -> AsyncIterator[RabbitBus]:
    bus = RabbitBus(
        "amqp://broker/",
        service="test",
        queue_type="classic",
        metrics=Metrics("test", "0", "-"),
        connect=broker.connect,
    )
    async with bus.running():
        yield bus


def publishing(broker: FakeBroker) -> FakeConnection:
    """Return the connection whose prepared channel publishes: only it declares the event log."""
    return next(connection for connection in reversed(broker.connections) if "parley.log" in connection.declared)


@pytest.mark.parametrize(
    ("failure", "error", "sentence"),
    [
        (UnroutableError(RETURNED, RETURNED.delivery), PublishError, "No queue is bound"),
        (DeliveryError(None, Basic.Nack()), PublishError, "RabbitMQ refused the event"),
        (OSError(errno.ETIMEDOUT, "lost"), BusDown, "connection to RabbitMQ failed: TimeoutError"),
        (AMQPConnectionError("lost"), BusDown, "connection to RabbitMQ failed: AMQPConnectionError"),
        (asyncio.CancelledError(), BusDown, "channel to RabbitMQ was closed"),
    ],
)
def test_each_failure_of_a_publish_is_translated(
    failure: BaseException, error: type[PublishError], sentence: str
) -> None:
    @virtual_time
    async def scenario() -> None:
        broker = FakeBroker()
        async with running(broker) as bus:
            publishing(broker).publish_errors.append(failure)
            with pytest.raises(error, match=sentence) as raised:
                await bus.publish(make_event())
            assert type(raised.value) is error
            await bus.publish(make_event())

    scenario()


@virtual_time
async def test_a_queue_is_bound_to_more_events_only_if_the_broker_confirms_it() -> None:
    broker = FakeBroker()
    async with running(broker) as bus, bus.consume(Subscription("q", (), ignore)):
        await bus.bind("q", "#")
        assert broker.connections[-1].channels[-1].bindings == ["#"]
        for error in (
            ChannelNotFoundEntity("no queue"),
            AMQPChannelError("no permission"),
            AMQPConnectionError("lost"),
        ):
            broker.queue_errors.append(error)
            with pytest.raises(BusDown, match="q was not bound"):
                await bus.bind("q", "#")
        broker.is_down = True
        for connection in broker.connections:
            connection.lose()
        await asyncio.sleep(0.01)
        with pytest.raises(BusDown, match="no connection"):
            await bus.bind("q", "#")


@virtual_time
async def test_an_event_that_is_not_confirmed_in_time_is_not_published() -> None:
    broker = FakeBroker()
    async with running(broker) as bus:
        publishing(broker).is_frozen = True
        with pytest.raises(PublishError, match="did not confirm the event within 5 s") as raised:
            await bus.publish(make_event())
        assert type(raised.value) is PublishError
        publishing(broker).is_frozen = False


@virtual_time
async def test_a_cancelled_publish_is_cancelled_and_not_an_outage() -> None:
    broker = FakeBroker()
    async with running(broker) as bus:
        publishing(broker).is_frozen = True
        task = asyncio.create_task(bus.publish(make_event()))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        publishing(broker).is_frozen = False


@virtual_time
async def test_an_event_that_is_too_large_is_refused_before_it_is_sent() -> None:
    broker = FakeBroker()
    async with running(broker) as bus:
        with pytest.raises(PublishError, match="more than 15000000 bytes"):
            await bus.publish(replace(make_event(), data=b" " * (MAX_EVENT_BYTES + 1)))
        assert not [body for channel in publishing(broker).channels for body in channel.published]


@virtual_time
async def test_a_bus_opens_without_a_broker_after_the_startup_timeout() -> None:
    broker = FakeBroker()
    broker.is_down = True
    async with running(broker) as bus:
        assert asyncio.get_running_loop().time() == pytest.approx(STARTUP_TIMEOUT)
        for attempt in (bus.ping(), bus.publish(make_event())):
            with pytest.raises(BusDown, match="no connection to RabbitMQ: AMQPConnectionError"):
                await attempt
        broker.is_down = False
        await asyncio.sleep(2 * RECONNECT_DELAY)
        await bus.ping()
        await bus.publish(make_event())


@virtual_time
async def test_a_blocked_broker_refuses_events_at_once() -> None:
    broker = FakeBroker()
    async with running(broker) as bus:
        publishing(broker).is_blocked = True
        await asyncio.sleep(2 * HEALTH_CHECK_INTERVAL)
        with pytest.raises(BusDown, match="memory or disk alarm"):
            await bus.publish(make_event())


@virtual_time
async def test_a_lost_publishing_channel_is_replaced_with_its_connection() -> None:
    broker = FakeBroker()
    async with running(broker) as bus:
        before = publishing(broker)
        before.channels[-1].lose()
        with pytest.raises(BusDown):
            await bus.publish(make_event())
        await asyncio.sleep(2 * RECONNECT_DELAY)
        await bus.publish(make_event())
        assert publishing(broker) is not before


@pytest.mark.parametrize("loss", ["conflict", "cancel", "channel"])
def test_a_queue_that_is_not_consumed_shows_in_the_status_and_the_metrics_until_it_is(loss: str) -> None:
    @virtual_time
    async def scenario() -> None:
        broker = FakeBroker()
        async with running(broker) as bus, bus.consume(Subscription("q", ("#",), ignore)):
            await bus.ping()
            assert consumer_up(bus) == 1
            if loss == "conflict":
                broker.queue_errors.append(AMQPChannelError("PRECONDITION_FAILED"))
            if loss == "cancel":
                consuming(broker).on_consumer_cancel_callbacks.notify(None)
            else:
                consuming(broker).lose()
            await asyncio.sleep(1.5 * RECONNECT_DELAY if loss == "conflict" else RECONNECT_DELAY / 2)
            with pytest.raises(BusDown, match=r"No events of q are delivered: .*(PRECONDITION|lost)") as raised:
                await bus.ping()
            assert raised.value.status_detail == "no events of q are delivered"
            assert consumer_up(bus) == 0
            await bus.publish(make_event())
            await asyncio.sleep(TOPOLOGY_RETRY_DELAY + 2 * RECONNECT_DELAY)
            await bus.ping()
            assert consumer_up(bus) == 1
        assert consumer_up(bus) is None

    scenario()


async def ignore(_event: CloudEvent) -> None:
    """Handle an event."""


def consumer_up(bus: RabbitBus) -> float | None:
    return bus._metrics.registry.get_sample_value("consumer_up", {"queue": "q"})


def consuming(broker: FakeBroker) -> FakeChannel:
    """Return the channel that has a consumer."""
    channels = [channel for connection in broker.connections for channel in connection.channels]
    return next(channel for channel in channels if channel.consume_callback and not channel.is_closed)


@virtual_time
async def test_the_metrics_show_which_side_of_the_bus_is_connected() -> None:
    broker = FakeBroker()

    def up(bus: RabbitBus) -> list[float | None]:
        return [bus._metrics.registry.get_sample_value("bus_up", {"side": side}) for side in ("publish", "consume")]

    async with running(broker) as bus:
        assert up(bus) == [1, 1]
        publishing(broker).is_blocked = True
        await asyncio.sleep(2 * HEALTH_CHECK_INTERVAL)
        assert up(bus) == [0, 1]


@virtual_time
async def test_handlers_run_in_a_context_that_names_the_service() -> None:
    broker, bound = FakeBroker(), dict[str, object]()

    async def handler(_event: CloudEvent) -> None:
        bound.update(structlog.contextvars.get_contextvars())

    async with running(broker) as bus, bus.consume(Subscription("q", ("#",), handler)):
        with structlog.contextvars.bound_contextvars(request_id="of the connection"):
            await consuming(broker).deliver(FakeMessage(make_event()))
        await asyncio.sleep(0.1)
    assert bound == {"service": "test"}
