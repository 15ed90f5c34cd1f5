"""Batches of what arrives while a call is open."""

import asyncio

from parley.process.batcher import MAX_BATCH_SIZE, MAX_WAITING, Batcher
from parley_testing import eventually


class BatchSender:
    """Records batches; a call ends when ``release`` is set."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.release = asyncio.Event()

    async def __call__(self, batch: list[int]) -> None:
        self.sizes.append(len(batch))
        await self.release.wait()


async def test_items_of_the_same_moment_are_sent_in_one_call() -> None:
    sender = BatchSender()
    batcher = Batcher(sender)
    for item in range(5):
        assert batcher.add(item)
    sender.release.set()
    await eventually(lambda: sender.sizes == [5])


async def test_items_that_arrive_during_a_call_form_the_next_batch() -> None:
    sender = BatchSender()
    batcher = Batcher(sender)
    batcher.add(1)
    await eventually(lambda: sender.sizes == [1])
    for item in range(3):
        batcher.add(item)
    sender.release.set()
    await eventually(lambda: sender.sizes == [1, 3])


async def test_a_batch_has_a_maximum_size() -> None:
    sender = BatchSender()
    batcher = Batcher(sender)
    for item in range(MAX_BATCH_SIZE + 1):
        batcher.add(item)
    await eventually(lambda: sender.sizes == [MAX_BATCH_SIZE])
    assert len(batcher.take_waiting()) == 1
    sender.release.set()
    await batcher.wait_sent(1)


async def test_a_full_queue_accepts_no_more_items() -> None:
    batcher = Batcher(BatchSender())
    accepted = [batcher.add(item) for item in range(MAX_WAITING + 2)]
    assert accepted == [True] * MAX_WAITING + [False] * 2
    batcher.take_waiting()


async def test_waiting_for_open_calls_ends_after_the_timeout() -> None:
    sender = BatchSender()
    batcher = Batcher(sender)
    batcher.add(1)
    await eventually(lambda: sender.sizes == [1])
    await batcher.wait_sent(0.01)
    assert not sender.release.is_set()
    sender.release.set()
    await batcher.wait_sent(1)
