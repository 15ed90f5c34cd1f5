"""Batch dispatcher: size and pace of batches, acknowledgements, and shutdown."""

import asyncio

import pytest

from parley_testing.fakes.batches import BatchHandlers, BatchQueue, Outage
from parley_testing.virtual_time import virtual_time


@virtual_time
async def test_an_event_of_an_idle_queue_is_handled_at_once() -> None:
    handlers = BatchHandlers()
    queue = BatchQueue(handlers)
    await asyncio.sleep(5)
    await queue.deliver("a")
    await asyncio.sleep(1)
    await queue.deliver("a")
    await asyncio.sleep(1)
    assert handlers.times == pytest.approx([5, 6])
    assert queue.answers() == ["acknowledged"] * 2


@virtual_time
async def test_a_batch_begins_20_ms_after_the_one_before_unless_it_is_full() -> None:
    handlers = BatchHandlers()
    queue = BatchQueue(handlers)
    await queue.deliver("a")
    await asyncio.sleep(0.001)
    await queue.deliver("b", "c")
    await asyncio.sleep(0.05)
    await queue.deliver("d")
    await asyncio.sleep(0.001)
    await queue.deliver("e", "f", "g", "h", "i")
    await asyncio.sleep(1)
    assert handlers.batches == [[1], [2, 3], [4], [5, 6, 7, 8], [9]]
    assert handlers.times == pytest.approx([0, 0.02, 0.051, 0.052, 0.072])


@virtual_time
async def test_events_that_are_not_urgent_wait_for_others_50_ms_at_most() -> None:
    handlers = BatchHandlers()
    handlers.not_urgent, queue = {"later"}, BatchQueue(handlers)
    await queue.deliver("later")
    await asyncio.sleep(0.03)
    await queue.deliver("later")
    await asyncio.sleep(5)
    await queue.deliver("later")
    await asyncio.sleep(5)
    assert handlers.batches == [[1, 2], [3]]
    assert handlers.times == pytest.approx([0.05, 5.08])
    assert (queue.answers(), queue.channel.acks) == (["acknowledged"] * 3, 2)


@virtual_time
async def test_an_urgent_event_takes_the_events_before_it_along_in_their_order() -> None:
    handlers = BatchHandlers()
    handlers.not_urgent, queue = {"later"}, BatchQueue(handlers)
    await queue.deliver("later")
    await asyncio.sleep(0.01)
    await queue.deliver("later", "now", "later")
    await asyncio.sleep(5)
    assert handlers.batches == [[1, 2, 3, 4]]
    assert handlers.times == pytest.approx([0.01])


@virtual_time
async def test_a_full_batch_of_events_that_are_not_urgent_begins_at_once() -> None:
    handlers = BatchHandlers()
    handlers.not_urgent, queue = {"later"}, BatchQueue(handlers)
    await queue.deliver("later", "later", "later", "later")
    await asyncio.sleep(0.01)
    assert handlers.batches == [[1, 2, 3, 4]]


@virtual_time
async def test_events_that_are_not_urgent_are_left_to_their_next_delivery_on_stopping() -> None:
    handlers = BatchHandlers()
    handlers.not_urgent, queue = {"later"}, BatchQueue(handlers)
    await queue.deliver("later")
    await asyncio.sleep(0.01)
    await queue.dispatcher.stop(10)
    assert (queue.answers(), handlers.batches) == (["pending"], [])
    assert asyncio.get_running_loop().time() == pytest.approx(0.01)


@virtual_time
async def test_a_batch_ends_at_its_limit_of_bytes() -> None:
    handlers = BatchHandlers()
    await BatchQueue(handlers, max_bytes=60).deliver("a", "b", "c", "d")
    await asyncio.sleep(1)
    assert [len(batch) for batch in handlers.batches] == [2, 2]


@virtual_time
async def test_a_batch_is_acknowledged_as_a_whole_after_its_handler_has_returned() -> None:
    handlers = BatchHandlers()
    handlers.seconds = 1
    queue = BatchQueue(handlers)
    await queue.deliver("a", "b", "a", "c")
    await asyncio.sleep(0.5)
    assert queue.answers() == ["pending"] * 4
    await asyncio.sleep(1)
    assert (queue.answers(), queue.channel.acks) == (["acknowledged"] * 4, 1)
    assert queue.outcomes == ["handled"] * 4


@virtual_time
async def test_messages_of_a_closed_channel_are_left_to_their_next_delivery() -> None:
    handlers = BatchHandlers()
    handlers.seconds = 1
    queue = BatchQueue(handlers)
    await queue.deliver("a")
    await asyncio.sleep(0.5)
    await queue.deliver("b", "c")
    queue.channel.lose()
    await asyncio.sleep(5)
    assert handlers.batches == [[1]]


@virtual_time
async def test_stopping_lets_the_running_batch_finish_and_starts_no_other() -> None:
    handlers = BatchHandlers()
    handlers.seconds = 5
    queue = BatchQueue(handlers)
    await queue.deliver("a", "b")
    await asyncio.sleep(1)
    await queue.deliver("c")
    await queue.dispatcher.stop(10)
    assert queue.answers() == ["acknowledged", "acknowledged", "pending"]


@virtual_time
async def test_stopping_acknowledges_no_event_whose_retry_it_ends() -> None:
    handlers = BatchHandlers()
    handlers.left_out, queue = {"left"}, BatchQueue(handlers)
    await queue.deliver("left")
    await asyncio.sleep(0)
    handlers.failing["left"] = Outage()
    await asyncio.sleep(1)
    handlers.seconds = 5
    await queue.deliver("a")
    await asyncio.sleep(1)
    await queue.dispatcher.stop(10)
    assert queue.answers() == ["pending", "acknowledged"]


@virtual_time
async def test_stopping_cancels_a_batch_that_takes_too_long() -> None:
    handlers = BatchHandlers()
    handlers.seconds = 50
    queue = BatchQueue(handlers)
    await queue.deliver("a")
    await asyncio.sleep(1)
    await queue.dispatcher.stop(10)
    assert queue.answers() == ["pending"]
    assert asyncio.get_running_loop().time() == pytest.approx(11)


@virtual_time
async def test_events_are_prepared_on_their_arrival_while_the_batch_before_is_handled() -> None:
    handlers = BatchHandlers()
    handlers.seconds, queue = 1, BatchQueue(handlers)
    await queue.deliver("a")
    await asyncio.sleep(0.5)
    await queue.deliver("b", "c")
    assert (handlers.batches, handlers.prepared) == ([[1]], [1, 2, 3])
    await asyncio.sleep(5)
    assert (handlers.batches, handlers.prepared) == ([[1], [2, 3]], [1, 2, 3])
