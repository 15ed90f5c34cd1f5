"""Refill of a gap from the event log."""

import asyncio
import logging

import pytest

from parley_events import Gap, Rejected
from parley_events.testing import InProcessBus
from parley_testing.subscriber_runs import Recorder, subscriber_of, turn
from parley_testing.virtual_time import virtual_time

CHAT = turn("any", 1).source


@virtual_time
async def test_a_refill_ends_with_the_last_missing_event(caplog: pytest.LogCaptureFixture) -> None:
    bus, handler = InProcessBus(), Recorder()
    await bus.publish(*(turn("a", number) for number in range(1, 5)))
    bus.exchanges.publish("parley.events", "conversation.turn.completed", b"{}", {"ce-id": "unreadable"})
    with caplog.at_level(logging.WARNING):
        assert await subscriber_of(bus, handler).refill(Gap(CHAT, "a", 2, 3)) == 0
    assert handler.of("a") == [2, 3]
    assert not caplog.records


@virtual_time
async def test_a_refill_counts_the_events_that_the_log_no_longer_has() -> None:
    bus, handler = InProcessBus(), Recorder()
    await bus.publish(turn("a", 3), turn("a", 4))
    assert await subscriber_of(bus, handler).refill(Gap(CHAT, "a", 1, 3)) == 2
    assert handler.of("a") == [3]


@virtual_time
async def test_a_refill_leaves_out_a_rejected_event_and_counts_it_as_missing(caplog: pytest.LogCaptureFixture) -> None:
    bus, handler = InProcessBus(), Recorder(lambda event: Rejected("unknown") if event.sequence == 2 else None)
    await bus.publish(*(turn("a", number) for number in range(1, 5)))
    assert await subscriber_of(bus, handler).refill(Gap(CHAT, "a", 1, 3)) == 1
    assert handler.of("a") == [1, 3]
    assert [record.getMessage().split()[0] for record in caplog.records] == ["event_not_refilled"]
    assert "Rejected: unknown" in caplog.text


@virtual_time
async def test_a_refill_ends_with_an_error_that_may_pass() -> None:
    bus, handler = InProcessBus(), Recorder(lambda _event: RuntimeError("the database is away"))
    await bus.publish(turn("a", 1))
    with pytest.raises(RuntimeError, match="the database is away"):
        await subscriber_of(bus, handler).refill(Gap(CHAT, "a", 1, 1))


@virtual_time
async def test_gaps_of_several_keys_read_the_log_one_after_the_other() -> None:
    bus, readers = InProcessBus(), list[int]()
    handler = Recorder(lambda _event: readers.append(len(bus.log.consumers)))
    keys = ("a", "b", "c", "d")
    await bus.publish(*(turn(key, 1) for key in keys))
    subscriber = subscriber_of(bus, handler)
    assert await asyncio.gather(*(subscriber.refill(Gap(CHAT, key, 1, 1)) for key in keys)) == [0] * 4
    assert readers == [1] * 4
