"""The purge loop."""

import asyncio

from history.retention.purge import purge_periodically
from parley_testing import eventually


async def test_batches_are_purged_until_nothing_is_due_and_again_after_the_interval() -> None:
    counts = [3, 1, 0, 2, 0]
    calls = 0

    async def purge_batch() -> int:
        nonlocal calls
        calls += 1
        return counts[calls - 1] if calls <= len(counts) else 0

    loop = asyncio.create_task(purge_periodically(purge_batch, 0.01))
    await eventually(lambda: calls > len(counts))
    loop.cancel()


async def test_a_failed_batch_is_tried_again_after_the_interval() -> None:
    calls = 0

    async def purge_batch() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("unforeseen")
        return 0

    loop = asyncio.create_task(purge_periodically(purge_batch, 0.01))
    await eventually(lambda: calls > 1)
    loop.cancel()


async def test_between_two_rounds_the_loop_waits_for_the_interval() -> None:
    calls = 0

    async def purge_batch() -> int:
        nonlocal calls
        calls += 1
        return 0

    loop = asyncio.create_task(purge_periodically(purge_batch, 3600))
    for _ in range(10):
        await asyncio.sleep(0)
    loop.cancel()
    assert calls == 1
