"""In-memory bus: the bus contract, and confirms that wait for the handlers."""

import asyncio

import pytest
import structlog

from parley.errors import DependencyUnavailable
from parley.messaging.bus import BusDown, PublishError
from parley.messaging.memory_bus import MemoryBus
from parley_events.cloudevents import CloudEvent
from parley_events.subscription import Rejected, Subscription
from parley_testing.contracts.bus import BusContract, make_event


class TestMemoryBusContract(BusContract):
    @pytest.fixture
    def bus(self) -> MemoryBus:
        return MemoryBus()


async def nothing(_event: CloudEvent) -> None:
    pass


async def test_publishing_is_refused_while_a_declared_queue_has_no_consumer() -> None:
    bus = MemoryBus(["history.turns"])
    with pytest.raises(BusDown, match=r"history\.turns"):
        await bus.publish(make_event())
    async with bus.consume(Subscription("history.turns", ("#",), nothing)):
        await bus.publish(make_event())
    with pytest.raises(BusDown):
        await bus.publish(make_event())


async def test_publishing_returns_after_the_handler_has_committed() -> None:
    bus, committed = MemoryBus(), asyncio.Event()

    async def handler(_event: CloudEvent) -> None:
        await committed.wait()

    async with bus.consume(Subscription("q", ("#",), handler)):
        publishing = asyncio.create_task(bus.publish(make_event()))
        await asyncio.sleep(0)
        assert not publishing.done()
        committed.set()
        await publishing


async def test_a_failing_handler_fails_the_publish_until_its_last_attempt() -> None:
    bus, event = MemoryBus(), make_event()

    async def handler(_event: CloudEvent) -> None:
        raise RuntimeError("always")

    async with bus.consume(Subscription("q", ("#",), handler, max_attempts=3)):
        for _ in range(2):
            with pytest.raises(PublishError):
                await bus.publish(event)
        await bus.publish(event)
    assert list(bus.dead_letters) == [("q", event)]


async def test_a_rejected_event_is_dead_lettered_without_a_retry() -> None:
    bus, event = MemoryBus(), make_event()

    async def handler(_event: CloudEvent) -> None:
        raise Rejected("never")

    async with bus.consume(Subscription("q", ("#",), handler)):
        await bus.publish(event)
    assert list(bus.dead_letters) == [("q", event)]


async def test_an_outage_of_a_dependency_dead_letters_no_event() -> None:
    bus, event, away = MemoryBus(), make_event(), True
    handled: list[CloudEvent] = []

    async def handler(received: CloudEvent) -> None:
        if away:
            raise DependencyUnavailable("The database cannot be reached right now.")
        handled.append(received)

    async with bus.consume(Subscription("q", ("#",), handler, max_attempts=2)):
        for _ in range(10):
            with pytest.raises(PublishError):
                await bus.publish(event)
        away = False
        await bus.publish(event)
    assert handled == [event]
    assert not bus.dead_letters


async def test_a_queue_has_one_consumer() -> None:
    bus, subscription = MemoryBus(), Subscription("q", ("#",), nothing)
    async with bus.consume(subscription):
        with pytest.raises(ValueError, match="already has a consumer"):
            async with bus.consume(subscription):
                pass


async def test_a_handler_does_not_see_the_context_of_the_publisher() -> None:
    bus, seen = MemoryBus(), {"request_id": "unset"}

    async def handler(_event: CloudEvent) -> None:
        seen.clear()
        seen.update(structlog.contextvars.get_contextvars())

    with structlog.contextvars.bound_contextvars(request_id="of the publisher"):
        async with bus.consume(Subscription("q", ("#",), handler)):
            await bus.publish(make_event())
    assert seen == {}


async def test_keys_do_not_wait_for_each_other() -> None:
    bus, slow_may_end = MemoryBus(), asyncio.Event()

    async def handler(event: CloudEvent) -> None:
        if event.partition_key == "slow":
            await slow_may_end.wait()

    async with bus.consume(Subscription("q", ("#",), handler)):
        slow = asyncio.create_task(bus.publish(make_event(key="slow")))
        await bus.publish(make_event(key="quick"))
        assert not slow.done()
        slow_may_end.set()
        await slow


async def test_no_state_remains_of_handled_keys() -> None:
    bus = MemoryBus()
    async with bus.consume(Subscription("q", ("#",), nothing)):
        for number in range(100):
            await bus.publish(make_event(key=str(number)))
    assert not bus._locks
    assert not bus._attempts
