"""Lag-tolerant timeouts and idle timers."""

import asyncio
import errno
import socket
import time

import pytest

from parley.process.timeouts import IdleTimer, LagTolerantTimer, at_most, lag_tolerant_timeout
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


@virtual_time
async def test_the_end_of_an_own_wait_is_no_exception() -> None:
    async with at_most(2) as wait:
        await asyncio.Event().wait()
    assert wait.expired
    assert asyncio.get_running_loop().time() == pytest.approx(2)


@virtual_time
@pytest.mark.parametrize("late", [False, True])
async def test_an_error_of_a_socket_is_never_the_end_of_an_own_wait(late: bool) -> None:
    async def read_from_a_lost_host() -> None:
        try:
            await asyncio.sleep(9 if late else 0)
        finally:
            raise OSError(errno.ETIMEDOUT, "Connection timed out")

    with pytest.raises(TimeoutError) as caught:
        async with at_most(2) as wait:
            await read_from_a_lost_host()
    assert caught.value.errno == errno.ETIMEDOUT
    assert not wait.expired


@virtual_time
async def test_a_wait_without_a_limit_or_with_a_result_does_not_expire() -> None:
    for seconds in (None, 2):
        async with at_most(seconds) as wait:
            await asyncio.sleep(1)
        assert not wait.expired


@virtual_time
async def test_a_cancellation_passes_a_limited_wait() -> None:
    async def wait_long() -> None:
        async with at_most(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_long())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
