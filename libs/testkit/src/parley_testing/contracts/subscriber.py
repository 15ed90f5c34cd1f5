"""Contract suite of subscribers: subclass `SubscriberContract` and provide a ``broker_of_events`` fixture."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

import pytest

from parley.ids import new_id
from parley_events import CloudEvent, Gap, Rejected, Subscriber, TurnEnded
from parley_events.connection import Connect
from parley_events.dead_letters import DeadLetters
from parley_events.testing import sample
from parley_events.topology import SubscriberNames
from parley_testing.waiting import eventually


class EventBroker(Protocol):
    """A broker that tests publish to; subscribers reach it through ``connect``."""

    url: str
    connect: Connect
    idle: float
    """Seconds without an event after which its log has none."""

    async def publish(self, *events: CloudEvent) -> None:
        """Publish events in order."""
        ...

    async def delete_queue(self, queue: str) -> None:
        """Delete a queue with its events."""
        ...


class SequenceRecorder:
    """A handler that rejects some sequences, and records the others by key."""

    def __init__(self, *, poison: int = 0) -> None:
        self.poison = poison
        self.handled: dict[str, list[int]] = {}
        self.offsets: list[int | None] = []

    async def __call__(self, _turn: TurnEnded, event: CloudEvent) -> None:
        await asyncio.sleep(0)
        if event.sequence == self.poison:
            raise Rejected("poison")
        self.handled.setdefault(event.partition_key, []).append(event.sequence)
        self.offsets.append(event.offset)


@asynccontextmanager
async def running(*subscribers: Subscriber) -> AsyncIterator[None]:
    """Run subscribers until one of them is active, and while the context is entered."""
    tasks = [asyncio.create_task(subscriber.run()) for subscriber in subscribers]
    try:
        await eventually(lambda: any(subscriber.consuming.is_set() for subscriber in subscribers))
        yield
    finally:
        for subscriber in subscribers:
            subscriber.stop()
        await asyncio.gather(*tasks)


class SubscriberContract:
    """What a subscriber may rely on."""

    options: ClassVar[dict[str, Any]] = {}
    """Options of every subscriber."""

    @pytest.fixture
    async def queue(self, broker_of_events: EventBroker) -> AsyncIterator[str]:
        names = SubscriberNames(f"sub.test.{new_id()}")
        yield names.queue
        for name in (names.queue, names.parked, names.dead):
            await broker_of_events.delete_queue(name)

    @pytest.fixture
    def key(self) -> str:
        return str(new_id())

    @pytest.fixture
    def subscriber_of(self, broker_of_events: EventBroker, queue: str) -> Callable[..., Subscriber]:
        def made(handler: SequenceRecorder, **options: Any) -> Subscriber:
            broker = broker_of_events
            subscriber = Subscriber(broker.url, queue, connect=broker.connect, **self.options, **options)
            subscriber.on(TurnEnded, where=lambda turn: turn.model != "ignored")(handler)
            return subscriber

        return made

    async def test_matching_events_arrive_in_order_also_those_published_while_it_was_stopped(
        self, broker_of_events: EventBroker, subscriber_of: Callable[..., Subscriber], key: str
    ) -> None:
        handler = SequenceRecorder()
        subscriber = subscriber_of(handler)
        async with running(subscriber):
            await broker_of_events.publish(sample(TurnEnded, key=key, sequence=1))
            await eventually(lambda: handler.handled == {key: [1]})
        await broker_of_events.publish(*(sample(TurnEnded, key=key, sequence=number) for number in range(2, 20)))
        await broker_of_events.publish(sample(TurnEnded, key=key, sequence=20, model="ignored"))
        await broker_of_events.publish(sample(TurnEnded, key=key, sequence=21))
        async with running(subscriber):
            await eventually(lambda: handler.handled == {key: [*range(1, 20), 21]})

    async def test_replicas_keep_the_order_of_each_key_when_the_active_one_stops(
        self, broker_of_events: EventBroker, subscriber_of: Callable[..., Subscriber]
    ) -> None:
        handler = SequenceRecorder()
        first, second = subscriber_of(handler), subscriber_of(handler)
        keys = [str(new_id()) for _ in range(5)]
        events = [sample(TurnEnded, key=key, sequence=number) for number in range(1, 21) for key in keys]
        async with running(first, second):
            active = next(each for each in (first, second) if each.consuming.is_set())
            await broker_of_events.publish(*events[:50])
            active.stop()
            await broker_of_events.publish(*events[50:])
            await eventually(lambda: all(handler.handled.get(key, [])[-1:] == [20] for key in keys))
        firsts = {key: list(dict.fromkeys(handler.handled[key])) for key in keys}
        assert firsts == {key: list(range(1, 21)) for key in keys}

    async def test_a_parked_key_waits_over_a_restart_and_a_redrive_restores_its_order(
        self, broker_of_events: EventBroker, subscriber_of: Callable[..., Subscriber], key: str, queue: str
    ) -> None:
        handler = SequenceRecorder(poison=1)
        letters = DeadLetters(broker_of_events.url, queue, connect=broker_of_events.connect)
        other = str(new_id())
        async with running(subscriber_of(handler, on_poison="park", prefetch=2)):
            await broker_of_events.publish(*(sample(TurnEnded, key=key, sequence=number) for number in range(1, 6)))
            await broker_of_events.publish(sample(TurnEnded, key=other, sequence=2))
            await eventually(lambda: other in handler.handled)
            (dead,) = await letters.list()
            assert (dead.key, dead.sequence, dead.reason, dead.error) == (key, "1", "rejected", "Rejected: poison")
        handler.poison = 0
        async with running(subscriber_of(handler, on_poison="park", prefetch=2)):
            await broker_of_events.publish(sample(TurnEnded, key=key, sequence=6))
            assert await letters.redrive() == 1
            await eventually(lambda: handler.handled.get(key) == [1, 2, 3, 4, 5, 6])
        assert await letters.list() == []

    async def test_a_deleted_queue_shows_as_a_gap_that_a_replay_fills(
        self, broker_of_events: EventBroker, subscriber_of: Callable[..., Subscriber], key: str, queue: str
    ) -> None:
        handler, gaps, missing = SequenceRecorder(), list[Gap](), list[int]()

        async def fill(gap: Gap) -> None:
            gaps.append(gap)
            missing.append(await subscriber.refill(gap, idle=broker_of_events.idle))

        subscriber = subscriber_of(handler, on_gap=fill)
        async with running(subscriber):
            await broker_of_events.publish(sample(TurnEnded, key=key, sequence=1))
            await eventually(lambda: handler.handled == {key: [1]})
            await broker_of_events.delete_queue(queue)
            await broker_of_events.publish(*(sample(TurnEnded, key=key, sequence=number) for number in (2, 3)))
            await eventually(lambda: not subscriber.consuming.is_set())
            await eventually(subscriber.consuming.is_set)
            await broker_of_events.publish(sample(TurnEnded, key=key, sequence=4))
            await eventually(lambda: handler.handled[key] == [1, 2, 3, 4])
        assert [(gap.key, gap.first, gap.last) for gap in gaps] == [(key, 2, 3)]
        assert missing == [0]

    async def test_a_replay_ends_where_the_log_ended_when_it_began_and_continues_there(
        self, broker_of_events: EventBroker, subscriber_of: Callable[..., Subscriber], key: str
    ) -> None:
        handler = SequenceRecorder()
        idle = broker_of_events.idle
        start = await subscriber_of(SequenceRecorder()).replay("next", idle=idle)
        await broker_of_events.publish(*(sample(TurnEnded, key=key, sequence=number) for number in range(1, 6)))
        subscriber = subscriber_of(handler)
        end = await subscriber.replay(start, idle=idle)
        assert handler.handled == {key: [1, 2, 3, 4, 5]}
        assert handler.offsets == list(range(start, start + 5))
        assert await subscriber.replay(end, idle=idle) == end == start + 5
        assert await subscriber.replay(start, until=start + 2, idle=idle) == start + 2
        with pytest.raises(ValueError, match="time zone"):
            await subscriber.replay(datetime.now(UTC).replace(tzinfo=None))
