"""Background tasks."""

import asyncio
import contextlib
import itertools

import pytest

from parley.observability.metrics import Metrics
from parley.process.tasks import (
    MAX_RESTART_DELAY,
    MIN_RESTART_DELAY,
    TOLERATED_EARLY_ENDS,
    EarlyEnds,
    Incident,
    background,
    incidents,
)
from parley_testing.telemetry.captured_logs import captured_logs
from parley_testing.virtual_time import virtual_time


@virtual_time
async def test_a_failing_task_is_restarted_with_growing_delays_up_to_a_maximum() -> None:
    starts: list[float] = []
    clock = asyncio.get_running_loop().time

    async def fail() -> None:
        starts.append(clock())
        raise ConnectionError

    with captured_logs() as logs:
        async with background("relay", fail):
            await asyncio.sleep(60)
    delays = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert delays[:3] == pytest.approx([MIN_RESTART_DELAY, 2 * MIN_RESTART_DELAY, 4 * MIN_RESTART_DELAY])
    assert delays[-1] == pytest.approx(MAX_RESTART_DELAY)
    assert {(line["event"], line["task"]) for line in logs} == {("background_task_failed", "relay")}


@virtual_time
async def test_a_task_that_ran_for_long_restarts_after_the_minimum_delay() -> None:
    starts: list[float] = []
    clock = asyncio.get_running_loop().time

    async def fail_after_a_while() -> None:
        starts.append(clock())
        await asyncio.sleep(60 if len(starts) > 2 else 0)
        raise ConnectionError

    with captured_logs():
        async with background("relay", fail_after_a_while):
            await asyncio.sleep(100)
    assert starts[3] - starts[2] == pytest.approx(60 + MIN_RESTART_DELAY)


@virtual_time
async def test_a_task_that_loses_its_first_cancellation_still_ends() -> None:
    lost = asyncio.Event()

    async def ignore_one_cancellation() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            if not lost.is_set():
                await asyncio.Event().wait()
        lost.set()
        await asyncio.Event().wait()

    async with background("relay", ignore_one_cancellation) as task:
        await asyncio.sleep(1)
    assert task.done()
    assert lost.is_set()


@virtual_time
async def test_a_task_that_ends_at_once_again_and_again_is_slowed_and_reported() -> None:
    starts: list[float] = []
    metrics = Metrics("slowing", "1", "-")

    async def end_at_once() -> None:
        starts.append(asyncio.get_running_loop().time())

    with captured_logs() as logs:
        async with background("relay", end_at_once, service="slowing"):
            await asyncio.sleep(60)
    assert starts[-1] - starts[-2] == pytest.approx(MAX_RESTART_DELAY)
    assert {(line["event"], line["task"]) for line in logs} == {("background_task_ended", "relay")}
    labels = {"task": "relay", "kind": "ended"}
    assert metrics.registry.get_sample_value("background_task_incidents_total", labels) == len(starts)
    other = Metrics("other", "1", "-")
    assert other.registry.get_sample_value("background_task_incidents_total", labels) is None


@virtual_time
async def test_a_loop_whose_waits_end_at_once_does_not_stop_the_event_loop() -> None:
    rounds = 0

    async def go_round() -> None:
        nonlocal rounds
        early_ends = EarlyEnds(1)
        while True:
            early_ends.start()
            rounds += 1
            await early_ends.no_result()

    with captured_logs() as logs:
        async with background("subscription", go_round, service="slowed"):
            await asyncio.sleep(10)
    assert rounds < TOLERATED_EARLY_ENDS + 15
    assert [(line["event"], line["task"]) for line in logs] == [("background_task_slowed", "subscription")]
    assert incidents[Incident("slowed", "subscription", "slowed")] == 1


@virtual_time
async def test_a_loop_whose_waits_last_is_not_slowed() -> None:
    early_ends, clock = EarlyEnds(1), asyncio.get_running_loop().time
    for _ in range(3 * TOLERATED_EARLY_ENDS):
        early_ends.start()
        await asyncio.sleep(1)
        await early_ends.no_result()
    assert clock() == pytest.approx(3 * TOLERATED_EARLY_ENDS)
