"""Failing events of a subscriber: attempts until a deadline, parking, dead letters, and what a restart keeps."""

import asyncio
import itertools
import logging
from datetime import timedelta
from typing import Any

import pytest

from parley_events import CloudEvent, Gap, Rejected, TurnEnded
from parley_events.consuming.failure_policy import HANDLER_TIMEOUT
from parley_events.testing import InProcessBus
from parley_testing.subscriber_runs import QUEUE, Recorder, subscriber_of, turn
from parley_testing.virtual_time import virtual_time


@virtual_time
async def test_no_event_is_lost_while_the_handlers_database_is_away() -> None:
    bus, is_away = InProcessBus(), True
    handler = Recorder(lambda _event: RuntimeError("database is away") if is_away else None)
    subscriber = subscriber_of(bus, handler)
    async with bus.running(subscriber):
        for number in range(300):
            await bus.publish(turn(f"key-{number % 60}", number // 60 + 1))
        await asyncio.sleep(300)
        assert not bus.dead_letters(QUEUE)
        is_away = False
        await asyncio.sleep(120)
    assert len(handler.handled) == 300
    assert all(handler.of(f"key-{number}") == [1, 2, 3, 4, 5] for number in range(60))


@virtual_time
async def test_an_event_that_fails_until_its_deadline_is_a_dead_letter_with_its_reason() -> None:
    bus = InProcessBus()
    handler = Recorder(lambda event: RuntimeError("no such row") if event.sequence == 1 else None)
    subscriber = subscriber_of(bus, handler, retry_for=timedelta(minutes=10))
    async with bus.running(subscriber):
        await bus.publish(turn("a", 1), turn("a", 2))
        await asyncio.sleep(595)
        assert not bus.dead_letters(QUEUE)
        await asyncio.sleep(60)
        (dead,) = bus.dead_letters(QUEUE)
    assert (dead["parley-reason"], dead["parley-error"]) == ("deadline", "RuntimeError: no such row")
    assert dead["ce-partitionkey"] == "a"
    assert dead["parley-attempts"] > 10
    assert handler.of("a") == [2]


@virtual_time
async def test_the_delays_grow_up_to_a_minute() -> None:
    bus, handler = InProcessBus(), Recorder(lambda _event: RuntimeError())
    subscriber = subscriber_of(bus, handler)
    async with bus.running(subscriber):
        await bus.publish(turn("a", 1))
        await asyncio.sleep(3600)
    times = [time for _, _, time in handler.attempts]
    delays = [round(later - earlier, 3) for earlier, later in itertools.pairwise(times)]
    assert delays[0] == pytest.approx(0.1)
    assert delays == sorted(delays)
    assert delays[-1] == pytest.approx(60)
    assert len(delays) < 100


@pytest.mark.parametrize("error", [Rejected("never"), KeyError("never")])
def test_a_permanent_error_makes_a_dead_letter_at_once(error: Exception) -> None:
    @virtual_time
    async def scenario() -> None:
        bus = InProcessBus()
        handler = Recorder(lambda event: error if event.sequence == 1 else None)
        subscriber = subscriber_of(bus, handler, permanent=(KeyError,))
        async with bus.running(subscriber):
            await bus.publish(turn("a", 1), turn("a", 2))
            await bus.settled(subscriber)
        assert [dead["parley-reason"] for dead in bus.dead_letters(QUEUE)] == ["rejected"]
        assert handler.of("a") == [2]
        assert len(handler.attempts) == 2

    scenario()


@virtual_time
async def test_a_failing_key_with_more_events_than_the_prefetch_count_delays_no_other_key() -> None:
    bus = InProcessBus()
    handler = Recorder(lambda event: RuntimeError() if event.partition_key == "bad" else None)
    subscriber = subscriber_of(bus, handler, prefetch=4)
    async with bus.running(subscriber):
        for number in range(1, 51):
            await bus.publish(turn("bad", number), turn("good", number))
        await asyncio.sleep(60)
        assert handler.of("good") == list(range(1, 51))
        assert bus.parked(QUEUE) == 50
        handler.fail = None
        await asyncio.sleep(120)
        assert bus.parked(QUEUE) == 0
    assert handler.of("bad") == list(range(1, 51))


@virtual_time
async def test_a_restart_keeps_the_deadline_and_the_order_of_a_failing_key() -> None:
    bus = InProcessBus()
    handler = Recorder(lambda event: RuntimeError() if event.sequence == 1 else None)
    options: dict[str, Any] = {"retry_for": timedelta(minutes=10)}
    async with bus.running(subscriber_of(bus, handler, **options)):
        await bus.publish(turn("a", 1), turn("a", 2))
        await asyncio.sleep(400)
    assert bus.parked(QUEUE) == 2
    await bus.publish(turn("a", 3))
    async with bus.running(subscriber_of(bus, handler, **options)):
        await asyncio.sleep(150)
        assert not handler.handled
        await asyncio.sleep(100)
    assert handler.of("a") == [2, 3]
    assert len(bus.dead_letters(QUEUE)) == 1


@virtual_time
async def test_parked_events_keep_their_order_over_a_broken_connection() -> None:
    bus = InProcessBus()
    handler = Recorder(lambda event: RuntimeError() if event.partition_key == "bad" else None)
    subscriber = subscriber_of(bus, handler)
    async with bus.running(subscriber):
        for number in range(1, 6):
            await bus.publish(turn("bad", number), turn("good", number))
        await asyncio.sleep(30)
        bus.disconnect()
        await bus.publish(turn("bad", 6))
        await asyncio.sleep(30)
        handler.fail = None
        await asyncio.sleep(120)
    assert list(dict.fromkeys(handler.of("bad"))) == [1, 2, 3, 4, 5, 6]


@virtual_time
async def test_a_parked_key_waits_for_its_dead_letter_also_after_a_restart() -> None:
    bus = InProcessBus()
    handler = Recorder(lambda event: Rejected("never") if event.sequence == 1 else None)
    async with bus.running(subscriber_of(bus, handler, on_poison="park")):
        await bus.publish(turn("a", 1), turn("a", 2), turn("b", 2))
        await asyncio.sleep(3600)
        assert handler.handled == [("b", 2)]
    async with bus.running(subscriber_of(bus, handler, on_poison="park")):
        await bus.publish(turn("a", 3))
        await asyncio.sleep(3600)
        assert handler.handled == [("b", 2)]
        assert len(bus.dead_letters(QUEUE)) == 1


@virtual_time
async def test_a_malformed_message_is_a_dead_letter_and_delays_nothing() -> None:
    bus, handler = InProcessBus(), Recorder()
    subscriber = subscriber_of(bus, handler)
    async with bus.running(subscriber):
        bus.exchanges.publish("parley.events", "conversation.turn.completed", b"{}", {"ce-id": "x"})
        await bus.publish(turn("a", 1))
        await bus.settled(subscriber)
    assert [dead["parley-reason"] for dead in bus.dead_letters(QUEUE)] == ["malformed"]
    assert handler.of("a") == [1]


@virtual_time
async def test_the_log_names_key_sequence_and_text_of_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    bus = InProcessBus()
    handler = Recorder(lambda _event: ValueError("column is missing"))
    subscriber = subscriber_of(bus, handler, retry_for=timedelta(seconds=1))
    with caplog.at_level(logging.WARNING):
        async with bus.running(subscriber):
            await bus.publish(turn("a", 7))
            await asyncio.sleep(10)
    for name in ("event_retried", "event_dead_lettered"):
        record = vars(next(record for record in caplog.records if vars(record).get("event") == name))
        assert f"{name} queue={QUEUE}" in record["message"]
        assert "key=a sequence=7" in record["message"]
        assert "error=ValueError: column is missing" in record["message"]
        assert (record["key"], record["sequence"], record["error"]) == ("a", 7, "ValueError: column is missing")


@virtual_time
async def test_filling_a_gap_may_take_longer_than_a_handler_and_the_later_event_waits() -> None:
    bus, handler, gaps = InProcessBus(), Recorder(), list[tuple[int, int]]()

    async def fill(gap: Gap) -> None:
        assert handler.of("a") == [1]
        await asyncio.sleep(5 * HANDLER_TIMEOUT)
        gaps.append((gap.first, gap.last))

    subscriber = subscriber_of(bus, handler, on_gap=fill)
    async with bus.running(subscriber):
        await bus.publish(turn("a", 1), turn("a", 4), turn("a", 4))
        await asyncio.sleep(10 * HANDLER_TIMEOUT)
    assert gaps == [(2, 3)]
    assert handler.of("a") == [1, 4, 4]


@virtual_time
async def test_the_time_of_a_handler_begins_when_it_gets_a_worker() -> None:
    bus, attempts = InProcessBus(), list[str]()

    async def handler(_turn: TurnEnded, event: CloudEvent) -> None:
        attempts.append(event.partition_key)
        await asyncio.sleep(0.7 * HANDLER_TIMEOUT)

    async with bus.running(subscriber_of(bus, handler, workers=1)):
        await bus.publish(*(turn(key, 1) for key in "abcd"))
        await asyncio.sleep(5 * HANDLER_TIMEOUT)
    assert attempts == ["a", "b", "c", "d"]


@virtual_time
async def test_no_more_handlers_run_at_once_than_there_are_workers() -> None:
    bus, running, most = InProcessBus(), 0, 0

    async def handler(_turn: TurnEnded, _event: CloudEvent) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    subscriber = subscriber_of(bus, handler, workers=3)
    async with bus.running(subscriber):
        await bus.publish(*(turn(f"key-{number}", 1) for number in range(12)))
        await bus.settled(subscriber)
    assert most == 3


@virtual_time
async def test_an_idle_subscriber_holds_no_message_for_longer_than_the_broker_allows() -> None:
    bus, handler = InProcessBus(), Recorder()
    async with bus.running(subscriber_of(bus, handler)):
        parked = bus.exchanges.queues[f"{QUEUE}.parked"]
        held: list[set[int]] = []
        for _ in range(3):
            held.append({position for each in parked.consumers for position in each.unacknowledged})
            await asyncio.sleep(21 * 60)
        assert [len(positions) for positions in held] == [1, 1, 1]
        assert held[0].isdisjoint(held[1] | held[2])
        await bus.publish(turn("a", 1))
        await asyncio.sleep(1)
    assert handler.of("a") == [1]


@virtual_time
async def test_a_dead_letter_that_the_broker_refuses_keeps_its_event() -> None:
    bus = InProcessBus()
    handler = Recorder(lambda _event: Rejected("never"))
    subscriber = subscriber_of(bus, handler)
    async with bus.running(subscriber):
        bus.exchanges.bindings.remove((f"{QUEUE}.dead", f"{QUEUE}.kit", "dead"))
        await bus.publish(turn("a", 1))
        await asyncio.sleep(10)
        assert bus.exchanges.queues[QUEUE].unsettled == 1
        bus.exchanges.bind(f"{QUEUE}.dead", f"{QUEUE}.kit", "dead")
        await bus.settled(subscriber, within=60)
    assert len(bus.dead_letters(QUEUE)) == 1
