"""Background tasks."""

import asyncio
import contextlib
import itertools

import pytest
from structlog.testing import capture_logs

from parley.process.tasks import MAX_RESTART_DELAY, MIN_RESTART_DELAY, background
from parley_testing.virtual_time import virtual_time


@virtual_time
async def test_a_failing_task_is_restarted_with_growing_delays_up_to_a_maximum() -> None:
    starts: list[float] = []
    clock = asyncio.get_running_loop().time

    async def fail() -> None:
        starts.append(clock())
        raise ConnectionError

    with capture_logs() as logs:
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

    with capture_logs():
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
