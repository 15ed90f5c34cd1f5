"""Outbox publisher: order within a key, concurrency between keys, failures, and the limit of unconfirmed events."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from parley.ids import new_id
from parley.messaging.outbox.publisher import MAX_UNCONFIRMED, PUBLISH_TIMEOUT, REFILL_ROWS, OutboxPublisher
from parley.observability.metrics import Metrics
from parley_testing.fakes.recording_bus import RecordingBus
from parley_testing.virtual_time import virtual_time


def rows(key: str, count: int, first: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "id": new_id(),
            "name": "user.updated",
            "version": 1,
            "subject": key,
            "partition_key": key,
            "sequence": sequence,
            "time": datetime(2026, 11, 22, tzinfo=UTC),
            "data": "{}",
            "traceparent": None,
        }
        for sequence in range(first, first + count)
    ]


@contextlib.asynccontextmanager
async def publishing(bus: RecordingBus) -> AsyncIterator[OutboxPublisher]:
    publisher = OutboxPublisher(
        bus, source="/services/test", metrics=Metrics("test", "0", "-"), needs_attention=asyncio.Event()
    )
    async with publisher.cancelled_at_exit():
        yield publisher


@virtual_time
async def test_the_events_of_a_key_are_published_in_order_and_reported() -> None:
    bus, waiting = RecordingBus(), rows("a", 3)
    async with publishing(bus) as publisher:
        publisher.start(waiting)
        assert (publisher.keys, publisher.rows) == ({"a"}, 3)
        await publisher.needs_attention.wait()
        results = publisher.take_results()
    assert bus.published == {"a": [1, 2, 3]}
    assert results.sent == [row["id"] for row in waiting]
    assert (results.failed, results.finished_keys, publisher.rows) == ([], ["a"], 0)


@virtual_time
async def test_a_key_is_fetched_again_only_after_its_results_are_recorded() -> None:
    async with publishing(RecordingBus()) as publisher:
        publisher.start(rows("a", 1))
        await publisher.needs_attention.wait()
        results = publisher.take_results()
        assert publisher.keys == {"a"}
        publisher.release(results)
        assert publisher.keys == set()
        assert publisher.take_results().finished_keys == []


@pytest.mark.parametrize("failure", ["refused_keys", "failing_keys"])
def test_a_failed_event_ends_its_key_and_no_other(failure: str) -> None:
    @virtual_time
    async def scenario() -> None:
        bus, bad = RecordingBus(), rows("bad", 3)
        getattr(bus, failure).add("bad")
        async with publishing(bus) as publisher:
            publisher.start([*bad, *rows("good", 3)])
            await publisher.needs_attention.wait()
            results = publisher.take_results()
        assert bus.published == {"good": [1, 2, 3]}
        assert bus.attempts["bad"] == 1
        assert results.failed == [bad[0]["id"]]
        failures = {"type": bad[0]["name"]}
        assert publisher._metrics.registry.get_sample_value("events_publish_failures_total", failures) == 1

    scenario()


@virtual_time
async def test_a_bus_that_is_down_fails_no_event_and_is_not_tried_for_the_others() -> None:
    bus = RecordingBus()
    bus.is_down = True
    async with publishing(bus) as publisher:
        publisher.start([row for number in range(100) for row in rows(f"k{number}", 2)])
        await publisher.needs_attention.wait()
        results = publisher.take_results()
    assert publisher.bus_is_down
    assert (results.sent, results.failed) == ([], [])
    assert bus.attempts.total() == 1


@virtual_time
async def test_a_limited_number_of_events_is_unconfirmed_at_a_time() -> None:
    bus = RecordingBus()
    bus.may_confirm.clear()
    async with publishing(bus) as publisher:
        publisher.start([row for number in range(2 * MAX_UNCONFIRMED) for row in rows(f"k{number}", 1)])
        await asyncio.sleep(1)
        assert bus.in_flight.total() == MAX_UNCONFIRMED
        bus.may_confirm.set()
        await publisher.needs_attention.wait()
    assert (bus.count, bus.max_in_flight) == (2 * MAX_UNCONFIRMED, MAX_UNCONFIRMED)


@virtual_time
async def test_a_publish_that_hangs_has_failed_after_its_timeout() -> None:
    bus, waiting = RecordingBus(), rows("a", 1)
    bus.may_confirm.clear()
    async with publishing(bus) as publisher:
        publisher.start(waiting)
        await asyncio.sleep(PUBLISH_TIMEOUT - 1)
        assert publisher.rows == 1
        await asyncio.sleep(2)
        assert publisher.take_results().failed == [waiting[0]["id"]]


@virtual_time
async def test_the_relay_is_notified_before_the_rows_run_out() -> None:
    bus = RecordingBus()
    async with publishing(bus) as publisher:
        publisher.start([row for number in range(REFILL_ROWS + 300) for row in rows(f"k{number}", 1)])
        await publisher.needs_attention.wait()
        assert 0 < publisher.rows <= REFILL_ROWS


@virtual_time
async def test_leaving_cancels_the_publishes_in_flight() -> None:
    bus = RecordingBus()
    bus.may_confirm.clear()
    async with publishing(bus) as publisher:
        publisher.start(rows("a", 1))
        await asyncio.sleep(1)
    assert bus.in_flight.total() == 0
    assert bus.count == 0
