"""Contract suite of a limited wait: subclass `WaitLimitContract` and set ``at_most``."""

import asyncio
import errno
from collections.abc import Callable

import pytest

from parley.process.timeouts import WaitLimit
from parley_events.waiting import WaitLimit as WaitLimitOfEvents
from parley_testing.virtual_time import virtual_time


class WaitLimitContract:
    at_most: Callable[[float | None], WaitLimit | WaitLimitOfEvents]

    @virtual_time
    async def test_the_end_of_an_own_wait_is_no_exception(self) -> None:
        async with self.at_most(2) as wait:
            await asyncio.Event().wait()
        assert wait.expired
        assert asyncio.get_running_loop().time() == pytest.approx(2)

    @pytest.mark.parametrize("late", [False, True])
    @virtual_time
    async def test_an_error_of_a_socket_is_never_the_end_of_an_own_wait(self, late: bool) -> None:
        async def read_from_a_lost_host() -> None:
            try:
                await asyncio.sleep(9 if late else 0)
            finally:
                raise OSError(errno.ETIMEDOUT, "Connection timed out")

        with pytest.raises(TimeoutError) as caught:
            async with self.at_most(2) as wait:
                await read_from_a_lost_host()
        assert caught.value.errno == errno.ETIMEDOUT
        assert not wait.expired

    @virtual_time
    async def test_a_wait_without_a_limit_or_with_a_result_does_not_expire(self) -> None:
        for seconds in (None, 2):
            async with self.at_most(seconds) as wait:
                await asyncio.sleep(1)
            assert not wait.expired

    @virtual_time
    async def test_a_cancellation_passes_a_limited_wait(self) -> None:
        async def wait_long() -> None:
            async with self.at_most(60):
                await asyncio.Event().wait()

        task = asyncio.create_task(wait_long())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
