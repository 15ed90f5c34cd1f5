"""Background tasks."""

import asyncio
import contextlib

from parley.process.tasks import background


async def test_a_task_that_loses_its_first_cancellation_still_ends() -> None:
    lost = asyncio.Event()

    async def deaf_once() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            if not lost.is_set():
                await asyncio.Event().wait()
        lost.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        async with background("deaf", deaf_once) as task:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert task.done()
    assert lost.is_set()
