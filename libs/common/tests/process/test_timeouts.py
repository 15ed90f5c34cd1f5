"""Time limits: they end what waits too long, and only that."""

import asyncio

from parley.process.timeouts import IdleTimer
from parley_testing import eventually


async def test_an_idle_timer_calls_back_after_each_silence_until_it_is_stopped() -> None:
    called: list[float] = []
    clock = asyncio.get_running_loop().time
    timer = IdleTimer(0.02, lambda: called.append(clock()))
    try:
        await eventually(lambda: len(called) == 2)
        assert called[1] - called[0] > 0.015
    finally:
        timer.stop()
    silent = IdleTimer(0.02, lambda: called.append(0))
    silent.stop()
    await eventually(lambda: clock() > called[1] + 0.1)
    assert len(called) == 2


async def test_an_idle_timer_counts_from_the_last_touch() -> None:
    clock = asyncio.get_running_loop().time
    began = touched = clock()
    silences: list[float] = []
    timer = IdleTimer(0.1, lambda: silences.append(clock() - touched))

    def touch() -> bool:
        nonlocal touched
        timer.touch()
        touched = clock()
        return touched > began + 0.3

    try:
        await eventually(touch)
        await eventually(lambda: silences)
    finally:
        timer.stop()
    assert min(silences) > 0.09
