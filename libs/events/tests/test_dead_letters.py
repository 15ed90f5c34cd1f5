"""Dead letters: list, redrive and drop, and the order of a parked key."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from parley_events import CloudEvent, Gap, Rejected
from parley_events.consuming.failure_policy import OnPoison
from parley_events.consuming.parking import MAX_PARKED
from parley_events.dead_letters import DeadLetters
from parley_events.side_queues import DROPPED, REDRIVEN
from parley_events.testing import InProcessBus
from parley_testing.subscriber_runs import QUEUE, Recorder, subscriber_of, turn
from parley_testing.virtual_time import virtual_time

MOVES: dict[str, Callable[[DeadLetters], Awaitable[int]]] = {"redrive": DeadLetters.redrive, "drop": DeadLetters.drop}


def poison(event: CloudEvent) -> Exception | None:
    return Rejected("price is unknown") if event.sequence == 1 else None


def drop_of(event: CloudEvent) -> dict[str, str]:
    return {DROPPED: str(event.id), "ce-partitionkey": event.partition_key}


def letters_of(bus: InProcessBus) -> DeadLetters:
    return DeadLetters("amqp://broker/", QUEUE, connect=bus.connect)


@virtual_time
async def test_dead_letters_are_listed_with_their_reason_and_stay() -> None:
    bus, handler = InProcessBus(), Recorder(poison)
    async with bus.running(subscriber_of(bus, handler)):
        await bus.publish(turn("a", 1), turn("b", 1), turn("b", 2))
        await asyncio.sleep(5)
        for _ in range(2):
            found = await letters_of(bus).list()
            assert [(letter.key, letter.sequence, letter.reason) for letter in found] == [
                ("a", "1", "rejected"),
                ("b", "1", "rejected"),
            ]
        assert found[0].error == "Rejected: price is unknown"


@virtual_time
async def test_redriving_a_parked_key_restores_its_order() -> None:
    bus, handler = InProcessBus(), Recorder(poison)
    async with bus.running(subscriber_of(bus, handler, on_poison="park")):
        await bus.publish(*(turn("a", number) for number in range(1, 6)))
        await asyncio.sleep(60)
        assert not handler.handled
        handler.fail = None
        assert await letters_of(bus).redrive() == 1
        await bus.publish(turn("a", 6))
        await asyncio.sleep(5)
        assert bus.parked(QUEUE) == 0
    assert handler.of("a") == [1, 2, 3, 4, 5, 6]
    assert not bus.dead_letters(QUEUE)


@virtual_time
async def test_redriving_while_the_subscriber_is_stopped_restores_the_order_too() -> None:
    bus, handler = InProcessBus(), Recorder(poison)
    async with bus.running(subscriber_of(bus, handler, on_poison="park")):
        await bus.publish(turn("a", 1), turn("a", 2))
        await asyncio.sleep(60)
    handler.fail = None
    assert await letters_of(bus).redrive() == 1
    async with bus.running(subscriber_of(bus, handler, on_poison="park")):
        await asyncio.sleep(5)
    assert handler.of("a") == [1, 2]


@virtual_time
async def test_an_event_that_died_behind_those_that_wait_for_it_goes_before_them_when_it_is_redriven() -> None:
    bus, handler = InProcessBus(), Recorder(lambda event: RuntimeError() if event.sequence == 1 else None)
    async with bus.running(subscriber_of(bus, handler, on_poison="park")):
        await bus.publish(*(turn("a", number) for number in (1, 2, 3)))
        await asyncio.sleep(30)
        handler.fail = poison
        while not bus.dead_letters(QUEUE):
            await asyncio.sleep(1)
    handler.fail = None
    assert await letters_of(bus).redrive() == 1
    async with bus.running(subscriber_of(bus, handler, on_poison="park")):
        await asyncio.sleep(5)
    assert handler.of("a") == [1, 2, 3]


@virtual_time
async def test_a_redriven_event_that_fails_again_is_a_dead_letter_again() -> None:
    bus, handler = InProcessBus(), Recorder(poison)
    async with bus.running(subscriber_of(bus, handler, on_poison="park")):
        await bus.publish(turn("a", 1), turn("a", 2))
        await asyncio.sleep(5)
        assert await letters_of(bus).redrive() == 1
        await asyncio.sleep(5)
        assert len(bus.dead_letters(QUEUE)) == 1
        assert not handler.handled


@virtual_time
async def test_dropping_a_dead_letter_lets_its_key_go_on() -> None:
    bus, handler = InProcessBus(), Recorder(poison)
    async with bus.running(subscriber_of(bus, handler, on_poison="park")):
        await bus.publish(turn("a", 1), turn("a", 2), turn("b", 1), turn("b", 2))
        await asyncio.sleep(60)
        assert await letters_of(bus).drop(lambda letter: letter.key == "a") == 1
        await asyncio.sleep(5)
        assert handler.handled == [("a", 2)]
        assert [letter.key for letter in await letters_of(bus).list()] == ["b"]


@virtual_time
async def test_a_dead_letter_dropped_before_its_key_is_known_to_wait_lets_it_go_on() -> None:
    bus, handler, first = InProcessBus(), Recorder(poison), turn("a", 1)
    async with bus.running(subscriber_of(bus, handler, on_poison="park")):
        await bus.publish(first, turn("a", 2))
        while not bus.dead_letters(QUEUE):
            await asyncio.sleep(0)
        bus.exchanges.publish(f"{QUEUE}.kit", "main", b"", drop_of(first))
        await asyncio.sleep(60)
        assert bus.parked(QUEUE) == 0
    assert handler.handled == [("a", 2)]


@virtual_time
async def test_a_drop_is_acknowledged_although_events_of_its_key_arrive_meanwhile() -> None:
    bus, handler, first = InProcessBus(), Recorder(poison), turn("a", 1)
    async with bus.running(subscriber_of(bus, handler, on_poison="park")):
        await bus.publish(first, turn("a", 2))
        await asyncio.sleep(60)
        bus.exchanges.publish(f"{QUEUE}.kit", "main", b"", drop_of(first))
        await bus.publish(*(turn("a", number) for number in range(3, 6)))
        await asyncio.sleep(60)
        assert bus.exchanges.queues[QUEUE].unsettled == 0
    assert handler.of("a") == [2, 3, 4, 5]


@pytest.mark.parametrize("move", MOVES)
def test_a_dead_letter_is_redriven_or_dropped_although_no_more_events_of_its_key_can_be_parked(move: str) -> None:
    @virtual_time
    async def scenario() -> None:
        bus, handler, last = InProcessBus(), Recorder(poison), MAX_PARKED + 10
        async with bus.running(subscriber_of(bus, handler, on_poison="park", prefetch=4)):
            await bus.publish(*(turn("a", number) for number in range(1, last + 1)), turn("b", 2))
            await asyncio.sleep(60)
            assert bus.parked(QUEUE) == MAX_PARKED
            assert not handler.handled
            handler.fail = None
            assert await MOVES[move](letters_of(bus)) == 1
            await asyncio.sleep(60)
            assert (bus.parked(QUEUE), bus.exchanges.queues[QUEUE].unsettled) == (0, 0)
        assert handler.of("a") == list(range(1 if move == "redrive" else 2, last + 1))
        assert handler.of("b") == [2]

    scenario()


@pytest.mark.parametrize("on_poison", ["park", "skip"])
def test_a_dead_letter_redriven_right_after_it_was_stored_is_tried_again(on_poison: OnPoison) -> None:
    @virtual_time
    async def scenario() -> None:
        bus, handler = InProcessBus(), Recorder(poison)
        async with bus.running(subscriber_of(bus, handler, on_poison=on_poison)):
            await bus.publish(turn("a", 1), turn("a", 2))
            while not bus.dead_letters(QUEUE):
                await asyncio.sleep(0)
            handler.fail = None
            dead = bus.exchanges.queues[f"{QUEUE}.dead"].ready.popleft()
            headers = {name: value for name, value in dead.headers.items() if name.startswith("ce-")}
            bus.exchanges.publish(f"{QUEUE}.kit", "control", dead.body, {**headers, REDRIVEN: headers["ce-id"]})
            await asyncio.sleep(60)
            assert (bus.parked(QUEUE), bus.exchanges.queues[QUEUE].unsettled) == (0, 0)
        assert sorted(handler.of("a")) == [1, 2]

    scenario()


@virtual_time
async def test_a_redriven_event_reaches_a_subscriber_of_an_earlier_release() -> None:
    bus, handler = InProcessBus(), Recorder(poison)
    async with bus.running(subscriber_of(bus, handler)):
        bus.exchanges.bindings.remove((f"{QUEUE}.parked", f"{QUEUE}.kit", "control"))
        await bus.publish(turn("a", 1))
        await asyncio.sleep(5)
        handler.fail = None
        assert await letters_of(bus).redrive() == 1
        await asyncio.sleep(5)
    assert handler.of("a") == [1]


@virtual_time
async def test_a_failing_store_of_sequences_leaves_one_dead_letter() -> None:
    class Sequences:
        failures = 3

        async def last_sequence(self, _source: str, _key: str) -> int | None:
            return None

        async def save_sequence(self, _source: str, _key: str, _sequence: int) -> None:
            if self.failures:
                self.failures -= 1
                raise OSError

    async def ignore(_gap: Gap) -> None: ...

    bus, handler, sequences = InProcessBus(), Recorder(poison), Sequences()
    async with bus.running(subscriber_of(bus, handler, on_gap=ignore, sequences=sequences)):
        await bus.publish(turn("a", 1))
        await asyncio.sleep(60)
    assert sequences.failures == 0
    assert len(bus.dead_letters(QUEUE)) == 1
