"""Batches of limit checks."""

import asyncio

from parley.ratelimit.check_batcher import MAX_BATCH_SIZE, MAX_WAITING, CheckBatcher
from parley.ratelimit.script import LimitCheck
from parley_testing import eventually


class BatchSender:
    """Records batches; a call ends when ``release`` is set."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.release = asyncio.Event()

    async def __call__(self, batch: list[LimitCheck]) -> None:
        self.sizes.append(len(batch))
        await self.release.wait()


def checks(count: int) -> list[LimitCheck]:
    return [LimitCheck([], 1, None, forced=False) for _ in range(count)]


async def test_checks_of_the_same_moment_are_sent_in_one_call() -> None:
    sender = BatchSender()
    batcher = CheckBatcher(sender)
    for check in checks(5):
        assert batcher.add(check)
    sender.release.set()
    await eventually(lambda: sender.sizes == [5])


async def test_checks_that_arrive_during_a_call_form_the_next_batch() -> None:
    sender = BatchSender()
    batcher = CheckBatcher(sender)
    batcher.add(checks(1)[0])
    await eventually(lambda: sender.sizes == [1])
    for check in checks(3):
        batcher.add(check)
    sender.release.set()
    await eventually(lambda: sender.sizes == [1, 3])


async def test_a_batch_has_a_maximum_size() -> None:
    sender = BatchSender()
    batcher = CheckBatcher(sender)
    for check in checks(MAX_BATCH_SIZE + 1):
        batcher.add(check)
    await eventually(lambda: sender.sizes == [MAX_BATCH_SIZE])
    assert len(batcher.take_waiting()) == 1
    sender.release.set()
    await batcher.wait_sent(1)


async def test_a_full_queue_accepts_no_more_checks() -> None:
    batcher = CheckBatcher(BatchSender())
    accepted = [batcher.add(check) for check in checks(MAX_WAITING + 2)]
    assert accepted == [True] * MAX_WAITING + [False] * 2
    batcher.take_waiting()


async def test_waiting_for_open_calls_ends_after_the_timeout() -> None:
    sender = BatchSender()
    batcher = CheckBatcher(sender)
    batcher.add(checks(1)[0])
    await eventually(lambda: sender.sizes == [1])
    await batcher.wait_sent(0.01)
    assert not sender.release.is_set()
    sender.release.set()
    await batcher.wait_sent(1)
