"""Consumers of RabbitMQ: attempts, dead letters, the end of a consumer, and metrics."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aio_pika import Message, connect

from parley.errors import DependencyUnavailable
from parley.messaging.bus import DEAD_LETTERS
from parley.messaging.rabbit_bus import RabbitBus
from parley.observability.metrics import Metrics
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_events.cloudevents import CloudEvent
from parley_events.subscription import Rejected, Subscription
from parley_events.topology import EVENTS_EXCHANGE
from parley_testing.backends.rabbitmq_fixtures import get_one
from parley_testing.contracts.bus import make_event
from parley_testing.fakes.recording_handler import RecordingHandler
from parley_testing.waiting import eventually

pytestmark = pytest.mark.integration


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
    await eventually(lambda: queue in own_bus._consumers)
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
