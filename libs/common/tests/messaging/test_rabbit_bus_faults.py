"""RabbitMQ bus while the broker is killed, frozen, full, or disconnected."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from parley.messaging.bus import BusDown, PublishError
from parley.messaging.rabbit_bus import PUBLISH_TIMEOUT, RabbitBus
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_events.cloudevents import CloudEvent
from parley_events.replay import LogReplay
from parley_events.subscription import Subscription
from parley_testing.contracts.bus import make_event, publish_until_confirmed
from parley_testing.faults import processes
from parley_testing.faults.tcp_proxy import TcpProxy, Toxics
from parley_testing.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

OpenBus = Callable[..., AbstractAsyncContextManager[RabbitBus]]
DETECTION_TIMEOUT = 20.0
"""Seconds until a frozen broker must be detected."""


class DeliveryRecorder:
    """A handler that records IDs, and sequences in the order of their first delivery."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.sequences: list[int] = []

    async def __call__(self, event: CloudEvent) -> None:
        self.ids.append(str(event.id))
        if event.sequence not in self.sequences:
            self.sequences.append(event.sequence)


async def is_confirmed(bus: RabbitBus, event: CloudEvent) -> bool:
    try:
        await bus.publish(event)
    except PublishError:
        return False
    return True


async def test_no_event_is_lost_when_the_broker_is_killed(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str
) -> None:
    collected, events = DeliveryRecorder(), [make_event("user.updated", sequence=number) for number in range(1, 401)]

    async def publish_all() -> None:
        for event in events:
            await publish_until_confirmed(own_bus, event)

    async with own_bus.consume(Subscription(queue, ("user.*",), collected)):
        publishing = asyncio.create_task(publish_all())
        await eventually(lambda: len(collected.ids) > 50)
        await processes.restart(broker, port=broker.port)
        assert not publishing.done(), "the kill came too late to hit the publisher"
        await publishing
        await eventually(lambda: len(set(collected.ids)) == len(events), within=20)
    assert collected.sequences == list(range(1, len(events) + 1))


async def test_events_are_delivered_within_15_s_after_the_broker_is_back(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str
) -> None:
    collected = DeliveryRecorder()
    async with own_bus.consume(Subscription(queue, ("user.*",), collected)):
        await processes.crash(broker, port=broker.port)
        with pytest.raises(PublishError):
            await own_bus.publish(make_event("user.updated"))
        await eventually(lambda: not own_bus._publishing.is_up)
        with pytest.raises(BusDown):
            await own_bus.ping()
        await broker.start()
        await eventually(lambda: is_confirmed(own_bus, make_event("user.updated")), within=20)
        await eventually(lambda: collected.ids, within=20)
        await own_bus.ping()


async def test_a_frozen_broker_is_detected_and_publishes_end_within_their_timeout(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str
) -> None:
    collected, event = DeliveryRecorder(), make_event("user.updated")
    async with own_bus.consume(Subscription(queue, ("user.*",), collected)):
        async with processes.frozen(broker.child):
            began = time.monotonic()
            with pytest.raises(PublishError):
                await own_bus.publish(event)
            assert time.monotonic() - began < PUBLISH_TIMEOUT + 5
            await eventually(
                lambda: not own_bus._publishing.is_up and not own_bus._consuming.is_up,
                within=DETECTION_TIMEOUT - (time.monotonic() - began),
            )
            with pytest.raises(BusDown):
                await own_bus.publish(event)
        await publish_until_confirmed(own_bus, event)
        await eventually(lambda: str(event.id) in collected.ids, within=20)
    assert set(collected.ids) == {str(event.id)}


@contextlib.asynccontextmanager
async def memory_alarm(broker: EmbeddedRabbitMQ) -> AsyncIterator[None]:
    await broker.ctl("set_vm_memory_high_watermark", "0.0000001")
    assert "memory" in (await broker.ctl("eval", "rabbit_alarm:get_alarms()."))
    try:
        yield
    finally:
        await broker.ctl("set_vm_memory_high_watermark", "absolute", "400MB")


async def test_a_memory_alarm_refuses_publishers_and_not_consumers(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str
) -> None:
    collected, may_handle = DeliveryRecorder(), asyncio.Event()

    async def handler(event: CloudEvent) -> None:
        await may_handle.wait()
        await collected(event)

    waiting = [make_event("user.updated", sequence=number) for number in range(1, 11)]
    late = make_event("user.updated", sequence=11)
    async with own_bus.consume(Subscription(queue, ("user.*",), handler)):
        for event in waiting:
            await own_bus.publish(event)
        async with memory_alarm(broker):
            began = time.monotonic()
            with pytest.raises(PublishError):
                await own_bus.publish(late)
            assert time.monotonic() - began < PUBLISH_TIMEOUT + 5
            await eventually(lambda: own_bus._publishing.is_blocked, within=20)
            began = time.monotonic()
            with pytest.raises(BusDown, match="alarm"):
                await own_bus.publish(late)
            assert time.monotonic() - began < PUBLISH_TIMEOUT
            may_handle.set()
            await eventually(lambda: len(collected.ids) == len(waiting))
        await publish_until_confirmed(own_bus, late)
        await eventually(lambda: str(late.id) in collected.ids, within=20)
    assert set(collected.ids) == {str(event.id) for event in (*waiting, late)}
    assert collected.sequences == list(range(1, 12))


async def test_a_memory_alarm_at_startup_delays_events(open_bus: OpenBus, broker: EmbeddedRabbitMQ) -> None:
    event = make_event("user.updated")
    async with memory_alarm(broker), asyncio.timeout(30), open_bus() as bus:
        with pytest.raises(PublishError):
            await bus.publish(event)
    async with open_bus() as bus:
        await publish_until_confirmed(bus, event)


async def test_a_connection_that_drops_all_bytes_is_detected(open_bus: OpenBus, broker: EmbeddedRabbitMQ) -> None:
    async with TcpProxy("127.0.0.1", broker.port) as proxy:
        url = broker.url.replace(f":{broker.port}/", f":{proxy.port}/")
        async with open_bus(url) as bus:
            await bus.publish(make_event())
            async with proxy.with_toxics(Toxics(black_hole=True)):
                await eventually(
                    lambda: not bus._publishing.is_up and not bus._consuming.is_up, within=DETECTION_TIMEOUT
                )
                assert proxy.counters.swallowed > 0
            await eventually(lambda: is_confirmed(bus, make_event()), within=20)


async def test_a_reset_connection_is_replaced(open_bus: OpenBus, broker: EmbeddedRabbitMQ, queue: str) -> None:
    collected = DeliveryRecorder()
    async with TcpProxy("127.0.0.1", broker.port) as proxy:
        url = broker.url.replace(f":{broker.port}/", f":{proxy.port}/")
        async with open_bus(url) as bus, bus.consume(Subscription(queue, ("user.*",), collected)):
            proxy.cut()
            assert proxy.counters.cut == 2
            event = make_event("user.updated")
            await eventually(lambda: is_confirmed(bus, event), within=20)
            await eventually(lambda: str(event.id) in collected.ids, within=20)


async def test_an_event_is_delivered_again_if_the_broker_is_killed_during_its_handler(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, queue: str, take_all: Callable[[str], Awaitable[list[str]]]
) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()
    collected, event = DeliveryRecorder(), make_event("user.updated")

    async def handler(received: CloudEvent) -> None:
        began.set()
        await may_end.wait()
        await collected(received)

    async with own_bus.consume(Subscription(queue, ("user.*",), handler)):
        await own_bus.publish(event)
        await began.wait()
        await processes.restart(broker, port=broker.port)
        may_end.set()
        await eventually(lambda: len(collected.ids) == 2, within=20)
    assert set(collected.ids) == {str(event.id)}
    assert await take_all(queue) == []


async def test_the_log_has_all_confirmed_events_after_a_crash(own_bus: RabbitBus, broker: EmbeddedRabbitMQ) -> None:
    events = [make_event("user.updated") for _ in range(50)]
    for event in events[:25]:
        await publish_until_confirmed(own_bus, event)
    await processes.restart(broker, port=broker.port)
    for event in events[25:]:
        await publish_until_confirmed(own_bus, event)
    assert {str(event.id) for event in events} <= await in_the_log(broker)


async def in_the_log(broker: EmbeddedRabbitMQ) -> set[str]:
    collected = DeliveryRecorder()
    await LogReplay(broker.url, collected).run("first", idle=1)
    return set(collected.ids)
