"""The topology in RabbitMQ: the event log, and what others deleted or declared differently."""

import asyncio

import pytest
from aio_pika import connect

from parley.ids import new_id
from parley.messaging.bus import BusDown, PublishError
from parley.messaging.rabbit_bus import RabbitBus, open_rabbit
from parley.observability.metrics import Metrics
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_embedded.sockets import free_port
from parley_events.subscription import Subscription
from parley_events.topology import EVENT_LOG, EVENTS_EXCHANGE
from parley_testing.contracts.bus import make_event
from parley_testing.fakes.recording_handler import RecordingHandler
from parley_testing.waiting import eventually

pytestmark = pytest.mark.integration


async def test_an_event_without_a_bound_queue_is_not_published(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str
) -> None:
    async with await connect(broker.url, timeout=10) as connection:
        channel = await connection.channel()
        log = await channel.get_queue(EVENT_LOG)
        await log.unbind(EVENTS_EXCHANGE, "#")
        try:
            with pytest.raises(PublishError, match="No queue"):
                await own_bus.publish(make_event("unbound.event"))
        finally:
            await log.bind(EVENTS_EXCHANGE, "#")
    await own_bus.publish(make_event("unbound.event"))


async def test_without_a_log_an_event_without_a_subscriber_counts_as_published(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ
) -> None:
    own_bus._has_log = False
    async with await connect(broker.url, timeout=10) as connection:
        log = await (await connection.channel()).get_queue(EVENT_LOG)
        await log.unbind(EVENTS_EXCHANGE, "#")
        try:
            await own_bus.publish(make_event("unbound.event"))
        finally:
            await log.bind(EVENTS_EXCHANGE, "#")


async def test_an_event_log_with_other_limits_is_used_unchanged(
    broker: EmbeddedRabbitMQ, metrics: Metrics, queue: str
) -> None:
    async with await connect(broker.url, timeout=10) as connection:
        channel = await connection.channel()
        await channel.queue_delete(EVENT_LOG)
        await channel.declare_queue(EVENT_LOG, durable=True, arguments={"x-queue-type": "stream", "x-max-age": "1h"})
        try:
            async with open_rabbit(broker.url, service="test", queue_type="classic", metrics=metrics) as bus:
                assert bus._has_log
                await bus.publish(make_event("unbound.event"))
        finally:
            await channel.queue_delete(EVENT_LOG)
    async with open_rabbit(broker.url, service="test", queue_type="classic", metrics=metrics):
        pass


async def test_a_deleted_queue_is_declared_and_bound_again(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str
) -> None:
    handler = RecordingHandler()
    async with own_bus.consume(Subscription(queue, ("user.*",), handler)):
        async with await connect(broker.url, timeout=10) as connection:
            await (await connection.channel()).queue_delete(queue)

        async def arrives() -> bool:
            await own_bus.publish(make_event("user.updated"))
            return bool(handler.seen)

        await eventually(arrives, within=20)


async def test_a_deleted_exchange_is_declared_again(own_bus: RabbitBus, broker: EmbeddedRabbitMQ) -> None:
    async with await connect(broker.url, timeout=10) as connection:
        await (await connection.channel()).exchange_delete(EVENTS_EXCHANGE)

    async def published() -> bool:
        try:
            await own_bus.publish(make_event("user.updated"))
        except PublishError:
            return False
        return True

    await eventually(published, within=20)


async def test_a_queue_with_other_arguments_is_logged_once_with_the_reason(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with await connect(broker.url, timeout=10) as connection:
        await (await connection.channel()).declare_queue(queue, durable=True, arguments={"x-max-length": 1})
    async with own_bus.consume(Subscription(queue, ("user.*",), RecordingHandler())):
        await own_bus.publish(make_event("user.updated"))
    (record,) = [record for record in caplog.records if record.message == "consumer_refused"]
    assert vars(record)["queue"] == queue
    assert "PRECONDITION_FAILED" in vars(record)["reason"]


async def test_a_service_starts_without_a_broker(metrics: Metrics) -> None:
    url = f"amqp://parley:wrong@127.0.0.1:{free_port()}/"
    bus = RabbitBus(url, service="test", queue_type="classic", metrics=metrics, startup_timeout=0.5)
    async with asyncio.timeout(15), bus.running():
        with pytest.raises(BusDown, match="no connection"):
            await bus.ping()
        with pytest.raises(BusDown, match="no connection"):
            await bus.publish(make_event())
        async with bus.consume(Subscription(f"test-{new_id()}", ("#",), RecordingHandler())):
            pass
