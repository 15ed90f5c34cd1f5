"""RabbitMQ bus: the bus contract, topology, dead letters, and shutdown."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from aio_pika import Message, connect

from parley.errors import DependencyUnavailable
from parley.ids import new_id
from parley.messaging.bus import Bus, BusDown, PublishError
from parley.messaging.exchanges import DEAD_LETTERS
from parley.messaging.rabbit_bus import RabbitBus, open_rabbit
from parley.observability.metrics import Metrics
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_embedded.sockets import free_port
from parley_events.cloudevents import CloudEvent, from_headers
from parley_events.subscription import Rejected, Subscription
from parley_events.topology import EVENT_LOG, EVENTS_EXCHANGE
from parley_testing.backends.shared import SharedBackends
from parley_testing.contracts.bus import BusContract, make_event
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


class RecordingHandler:
    """A handler that records its events, and raises the given errors first."""

    def __init__(self, *failures: Exception) -> None:
        self.seen: list[CloudEvent] = []
        self.failures = list(failures)

    async def __call__(self, event: CloudEvent) -> None:
        self.seen.append(event)
        if self.failures:
            raise self.failures.pop(0)


async def get_one(broker: EmbeddedRabbitMQ, queue: str) -> tuple[CloudEvent, dict[str, object], str | None]:
    async with await connect(broker.url, timeout=10) as connection:
        channel = await connection.channel()
        message = await (await channel.get_queue(queue)).get(timeout=10)
        await message.ack()
        return from_headers(message.headers, message.body), dict(message.headers), message.message_id


async def test_events_are_delivered_from_a_quorum_queue(own_bus: RabbitBus, queue: str) -> None:
    handler = RecordingHandler()
    own_bus._queue_type = "quorum"  # the shared node's dead letters stay classic
    async with asyncio.timeout(20):
        async with own_bus.consume(Subscription(queue, ("user.*",), handler)):
            sent = make_event("user.updated")
            await own_bus.publish(sent)
            await eventually(lambda: handler.seen == [sent], within=20)


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


async def test_an_event_that_is_too_large_is_refused_without_closing_the_channel(own_bus: RabbitBus) -> None:
    with pytest.raises(PublishError, match="bytes"):
        await own_bus.publish(replace(make_event(), data=b" " * 15_000_001))
    await own_bus.publish(make_event())


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


async def test_a_rejected_event_becomes_a_dead_letter(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str, metrics: Metrics
) -> None:
    async with await connect(broker.url, timeout=10) as connection:
        await (await (await connection.channel()).get_queue(DEAD_LETTERS)).purge()
    event = make_event("user.updated")
    async with own_bus.consume(Subscription(queue, ("user.*",), RecordingHandler(Rejected("never")))):
        await own_bus.publish(event)

        def is_dead() -> bool:
            labels = {"queue": queue, "outcome": "dead"}
            return metrics.registry.get_sample_value("events_consumed_total", labels) == 1

        await eventually(is_dead)
    dead, headers, _ = await get_one(broker, DEAD_LETTERS)
    assert dead == event
    deaths = headers["x-death"]
    assert isinstance(deaths, list)
    assert deaths[0]["queue"] == queue
    assert deaths[0]["reason"] == "rejected"


async def test_an_event_is_dead_lettered_after_its_last_attempt(own_bus: RabbitBus, queue: str) -> None:
    poison, good = make_event("user.updated", sequence=1), make_event("user.updated", sequence=2)
    handler = RecordingHandler(*(RuntimeError("again") for _ in range(3)))
    async with own_bus.consume(Subscription(queue, ("user.*",), handler, max_attempts=3)):
        await own_bus.publish(poison)
        await own_bus.publish(good)
        await eventually(lambda: len(handler.seen) == 4, within=20)
    assert [event.sequence for event in handler.seen] == [1, 1, 1, 2]


async def test_an_outage_of_a_dependency_uses_up_no_attempts(own_bus: RabbitBus, queue: str) -> None:
    handler = RecordingHandler(*(DependencyUnavailable() for _ in range(4)))
    event = make_event("user.updated")
    async with own_bus.consume(Subscription(queue, ("user.*",), handler, max_attempts=1)):
        await own_bus.publish(event)
        await eventually(lambda: len(handler.seen) == 5, within=20)
    assert {e.id for e in handler.seen} == {event.id}


async def test_a_failing_key_does_not_delay_the_others(own_bus: RabbitBus, queue: str) -> None:
    arrived: list[str] = []

    async def handler(event: CloudEvent) -> None:
        if event.partition_key == "bad":
            raise DependencyUnavailable
        arrived.append(event.partition_key)

    async with own_bus.consume(Subscription(queue, ("user.*",), handler)):
        await own_bus.publish(make_event("user.updated", key="bad"))
        for number in range(10):
            await own_bus.publish(make_event("user.updated", key=f"good-{number}"))
        await eventually(lambda: len(arrived) == 10)


async def test_a_message_that_is_not_an_event_becomes_a_dead_letter(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str
) -> None:
    handler = RecordingHandler()
    async with own_bus.consume(Subscription(queue, ("user.*",), handler)):
        async with await connect(broker.url, timeout=10) as connection:
            channel = await connection.channel()
            dead = await channel.get_queue(DEAD_LETTERS)
            await dead.purge()
            exchange = await channel.get_exchange(EVENTS_EXCHANGE)
            await exchange.publish(Message(b"{}", headers={"ce-type": "elsewhere"}), "user.updated", timeout=5)
            await eventually(lambda: dead.get(fail=False), within=20)
        good = make_event("user.updated")
        await own_bus.publish(good)
        await eventually(lambda: handler.seen == [good])


async def test_leaving_waits_for_the_running_handler_and_returns_the_other_events(
    own_bus: RabbitBus, queue: str, take_all: Callable[[str], Awaitable[list[str]]]
) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()
    done: list[int] = []

    async def handler(event: CloudEvent) -> None:
        began.set()
        await may_end.wait()
        done.append(event.sequence)

    events = [make_event("user.updated", sequence=number) for number in (1, 2, 3)]
    async with asyncio.timeout(10), own_bus.consume(Subscription(queue, ("user.*",), handler)):
        for event in events:
            await own_bus.publish(event)
        await began.wait()
        asyncio.get_running_loop().call_later(0.2, may_end.set)
    assert done == [1]
    assert await take_all(queue) == [str(event.id) for event in events[1:]]


async def test_a_cancelled_consumer_loses_no_event(own_bus: RabbitBus, queue: str) -> None:
    began = asyncio.Event()

    async def hangs(_event: CloudEvent) -> None:
        began.set()
        await asyncio.Event().wait()

    async def consume_for_ever() -> None:
        async with own_bus.consume(Subscription(queue, ("user.*",), hangs)):
            await asyncio.Event().wait()

    consuming = asyncio.create_task(consume_for_ever())
    await eventually(lambda: queue in own_bus._consumed)
    event, handler = make_event("user.updated"), RecordingHandler()
    await eventually(lambda: own_bus._consuming.is_up)
    async with asyncio.timeout(20):
        while not began.is_set():
            await own_bus.publish(event)
            await asyncio.sleep(0.1)
        consuming.cancel()
        await asyncio.wait([consuming])
    async with own_bus.consume(Subscription(queue, ("user.*",), handler)):
        await eventually(lambda: event in handler.seen, within=20)


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


async def test_a_queue_has_one_consumer_in_a_process(own_bus: RabbitBus, queue: str) -> None:
    subscription = Subscription(queue, ("user.*",), RecordingHandler())
    async with own_bus.consume(subscription):
        with pytest.raises(ValueError, match="already has a consumer"):
            async with own_bus.consume(subscription):
                pass


async def test_outcomes_and_lag_are_reported_as_metrics(own_bus: RabbitBus, queue: str, metrics: Metrics) -> None:
    handler = RecordingHandler(RuntimeError("once"))
    async with own_bus.consume(Subscription(queue, ("user.*",), handler)):
        await own_bus.publish(make_event("user.updated"))
        await eventually(lambda: len(handler.seen) == 2)

    def count(outcome: str) -> float | None:
        return metrics.registry.get_sample_value("events_consumed_total", {"queue": queue, "outcome": outcome})

    assert (count("retried"), count("handled"), count("dead")) == (1, 1, 0)
    assert metrics.registry.get_sample_value("consumer_lag_seconds", {"queue": queue}) is not None
