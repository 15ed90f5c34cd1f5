"""Gaps that cannot be filled: what becomes of the events behind them."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from parley_events import Gap, Rejected
from parley_events.testing import InProcessBus
from parley_testing.subscriber_runs import QUEUE, Recorder, subscriber_of, turn
from parley_testing.virtual_time import virtual_time


def dead_sequences(bus: InProcessBus) -> list[int]:
    return [int(headers["ce-sequence"]) for headers in bus.dead_letters(QUEUE)]


@virtual_time
async def test_a_lost_event_that_does_not_fit_its_model_makes_no_later_event_a_dead_letter() -> None:
    bus, handler, missing = InProcessBus(), Recorder(), list[int]()

    async def fill(gap: Gap) -> None:
        missing.append(await subscriber.refill(gap))

    subscriber = subscriber_of(bus, handler, on_gap=fill)
    async with bus.running(subscriber):
        await bus.publish(turn("a", 1))
        await bus.settled(subscriber)
    bus.delete_queue(QUEUE)
    await bus.publish(replace(turn("a", 2), data=b"{}"), turn("a", 3))
    async with bus.running(subscriber):
        await bus.publish(turn("a", 4), turn("a", 5))
        await bus.settled(subscriber)
    assert handler.of("a") == [1, 3, 4, 5]
    assert missing == [1]
    assert dead_sequences(bus) == []


@virtual_time
async def test_a_gap_that_on_gap_rejects_costs_the_first_event_behind_it_and_no_other() -> None:
    bus, handler = InProcessBus(), Recorder()

    async def refuse(_gap: Gap) -> None:
        raise Rejected("the archive has no such event")

    subscriber = subscriber_of(bus, handler, on_gap=refuse)
    async with bus.running(subscriber):
        await bus.publish(turn("a", 1), turn("a", 3), turn("a", 4), turn("a", 6))
        await bus.settled(subscriber)
    assert handler.of("a") == [1, 4]
    assert dead_sequences(bus) == [3, 6]


@virtual_time
async def test_a_gap_that_stays_unfilled_until_the_deadline_delays_its_key_once() -> None:
    bus, handler, calls = InProcessBus(), Recorder(), 0

    async def fail(_gap: Gap) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("the archive is away")

    subscriber = subscriber_of(bus, handler, on_gap=fail, retry_for=timedelta(seconds=30))
    async with bus.running(subscriber):
        await bus.publish(*(turn("a", number) for number in (1, 3, 4, 5)))
        await asyncio.sleep(60)
    assert handler.of("a") == [1, 4, 5]
    assert dead_sequences(bus) == [3]
    assert calls > 1
