"""Limited waits, lag-tolerant timeouts, and idle timers."""

import asyncio
import socket
import time

import pytest

from parley.process.timeouts import IdleTimer, LagTolerantTimer, at_most, lag_tolerant_timeout
from parley_testing.contracts.waits import WaitLimitContract
from parley_testing.virtual_time import virtual_time


@virtual_time
async def test_a_timeout_is_raised_after_its_seconds() -> None:
    with pytest.raises(TimeoutError):
        async with lag_tolerant_timeout(2):
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() == pytest.approx(2)


async def test_a_reply_that_arrived_while_the_event_loop_was_blocked_is_no_timeout() -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        reading = asyncio.create_task(asyncio.get_running_loop().sock_recv(near, 5))
        await asyncio.sleep(0)
        async with lag_tolerant_timeout(0.01):
            far.send(b"reply")
            time.sleep(0.05)
            assert await reading == b"reply"


@virtual_time
async def test_a_cancelled_timer_does_not_expire() -> None:
    expired: list[float] = []
    loop = asyncio.get_running_loop()
    timer = LagTolerantTimer(1, lambda: expired.append(loop.time()))
    LagTolerantTimer(2, lambda: expired.append(loop.time()))
    timer.cancel()
    await asyncio.sleep(10)
    assert expired == [pytest.approx(2)]


@virtual_time
async def test_an_idle_timer_expires_after_each_idle_time_until_it_is_stopped() -> None:
    expired: list[float] = []
    loop = asyncio.get_running_loop()
    timer = IdleTimer(1, lambda: expired.append(loop.time()))
    await asyncio.sleep(2.5)
    timer.stop()
    await asyncio.sleep(10)
    assert expired == [pytest.approx(1), pytest.approx(2)]


@virtual_time
async def test_an_idle_timer_counts_from_the_last_touch() -> None:
    expired: list[float] = []
    loop = asyncio.get_running_loop()
    timer = IdleTimer(1, lambda: expired.append(loop.time()))
    for _ in range(5):
        await asyncio.sleep(0.75)
        timer.touch()
    await asyncio.sleep(1.5)
    timer.stop()
    assert expired == [pytest.approx(5 * 0.75 + 1)]


class TestWaitLimitContract(WaitLimitContract):
    at_most = staticmethod(at_most)
