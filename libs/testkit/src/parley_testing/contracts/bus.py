"""Contract suite of the bus: subclass `BusContract` and provide a ``bus`` fixture."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import orjson
import pytest

from parley.ids import new_id
from parley.messaging.bus import DEAD_LETTERS, Bus, BusDown, PublishError
from parley_events.cloudevents import CloudEvent
from parley_events.subscription import Rejected, Subscription
from parley_testing.fakes.recording_handler import RecordingHandler
from parley_testing.waiting import eventually


def make_event(name: str = "conversation.turn.completed", key: str = "k", sequence: int = 1) -> CloudEvent:
    """Return an event."""
    return CloudEvent(
        id=new_id(),
        source="/services/test",
        name=name,
        version=1,
        subject=key,
        time=datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=UTC),
        partition_key=key,
        sequence=sequence,
        data=orjson.dumps({"sequence": sequence, "text": "grüße 你好"}),
    )


async def publish_until_confirmed(bus: Bus, event: CloudEvent) -> None:
    """Publish repeatedly until the bus confirms."""

    async def attempt() -> bool:
        try:
            await bus.publish(event)
        except PublishError:
            return False
        return True

    await eventually(attempt, within=15)


class BusContract:
    """The guarantees for subscribers and publishers."""

    @pytest.fixture
    def queue(self) -> str:
        return f"test-{new_id()}"

    async def test_an_event_arrives_as_it_was_sent(self, bus: Bus, queue: str) -> None:
        arrived: list[CloudEvent] = []

        async def handler(event: CloudEvent) -> None:
            arrived.append(event)

        sent = make_event()
        async with bus.consume(Subscription(queue, ("conversation.turn.*",), handler)):
            await bus.publish(sent)
            await eventually(lambda: arrived)
        assert arrived == [sent]

    async def test_a_subscriber_receives_only_events_that_match_its_bindings(self, bus: Bus, queue: str) -> None:
        arrived: list[str] = []

        async def handler(event: CloudEvent) -> None:
            arrived.append(event.name)

        async with bus.consume(Subscription(queue, ("user.*", "conversation.deleted"), handler)):
            for name in ("conversation.turn.completed", "user.erased", "conversation.deleted"):
                await bus.publish(make_event(name))
            await eventually(lambda: len(arrived) == 2)
        assert sorted(arrived) == ["conversation.deleted", "user.erased"]

    async def test_further_bindings_are_read_at_the_start(self, bus: Bus, queue: str) -> None:
        handler = RecordingHandler()

        async def read() -> Sequence[str]:
            return ("conversation.deleted",)

        async with bus.consume(Subscription(queue, ("user.*",), handler, more_bindings=read)):
            for name in ("conversation.turn.completed", "user.erased", "conversation.deleted"):
                await bus.publish(make_event(name))
            await eventually(lambda: len(handler.seen) == 2)
        assert sorted(event.name for event in handler.seen) == ["conversation.deleted", "user.erased"]

    async def test_a_queue_that_is_bound_to_more_events_gets_those_that_follow(self, bus: Bus, queue: str) -> None:
        handler = RecordingHandler()
        async with bus.consume(Subscription(queue, ("user.*",), handler)):
            await bus.publish(make_event("conversation.deleted", key="before"))
            for _ in range(2):  # binding again changes nothing
                await bus.bind(queue, "conversation.*")
            await bus.publish(make_event("conversation.deleted", key="after"))
            await bus.publish(make_event("user.erased", key="after"))
            await eventually(lambda: len(handler.seen) == 2)
        assert [event.partition_key for event in handler.seen] == ["after", "after"]

    async def test_a_queue_that_does_not_exist_is_not_bound(self, bus: Bus, queue: str) -> None:
        with pytest.raises(BusDown):
            await bus.bind(queue, "#")

    async def test_every_subscriber_gets_its_own_copy(self, bus: Bus, queue: str) -> None:
        arrived: dict[str, int] = {"a": 0, "b": 0}

        def counting(name: str) -> Subscription:
            async def handler(_event: CloudEvent) -> None:
                arrived[name] += 1

            return Subscription(f"{queue}-{name}", ("#",), handler)

        async with bus.consume(counting("a")), bus.consume(counting("b")):
            await bus.publish(make_event())
            await eventually(lambda: arrived == {"a": 1, "b": 1})

    async def test_events_of_one_key_are_handled_in_order_one_at_a_time(self, bus: Bus, queue: str) -> None:
        done: list[int] = []
        running = 0

        async def handler(event: CloudEvent) -> None:
            nonlocal running
            running += 1
            assert running == 1
            await asyncio.sleep(0)
            done.append(event.sequence)
            running -= 1

        async with bus.consume(Subscription(queue, ("#",), handler)):
            for sequence in range(1, 21):
                await bus.publish(make_event(sequence=sequence))
            await eventually(lambda: len(done) == 20)
        assert done == list(range(1, 21))

    async def test_an_event_whose_handler_failed_is_redelivered(self, bus: Bus, queue: str) -> None:
        attempts: list[CloudEvent] = []

        async def handler(event: CloudEvent) -> None:
            attempts.append(event)
            if len(attempts) == 1:
                raise RuntimeError("once")

        event = make_event()
        async with bus.consume(Subscription(queue, ("#",), handler)):
            await publish_until_confirmed(bus, event)
            await eventually(lambda: len(attempts) >= 2, within=10)
        assert {e.id for e in attempts} == {event.id}

    async def test_a_poison_event_does_not_stop_the_others(self, bus: Bus, queue: str) -> None:
        poison, good = make_event(key="poison"), make_event(key="good")
        arrived: list[CloudEvent] = []

        async def handler(event: CloudEvent) -> None:
            if event.id == poison.id:
                raise Rejected("never")
            arrived.append(event)

        async with bus.consume(Subscription(queue, ("#",), handler)):
            await publish_until_confirmed(bus, poison)
            await publish_until_confirmed(bus, good)
            await eventually(lambda: arrived == [good])

    async def test_the_bus_counts_the_events_that_wait_in_the_queues_that_exist(self, bus: Bus, queue: str) -> None:
        async def handler(_event: CloudEvent) -> None:
            raise Rejected("never")

        before = await bus.waiting([DEAD_LETTERS])
        async with bus.consume(Subscription(queue, ("#",), handler)):
            await publish_until_confirmed(bus, make_event())

            async def is_dead() -> bool:
                found = await bus.waiting([queue, "no.such.queue", DEAD_LETTERS])
                counted = found.keys() == {queue, DEAD_LETTERS} and found[queue] == 0
                return counted and found[DEAD_LETTERS] > before[DEAD_LETTERS]

            await eventually(is_dead)

    async def test_the_bus_answers_a_ping(self, bus: Bus) -> None:
        await bus.ping()
