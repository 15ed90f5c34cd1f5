"""Batch dispatcher: failing members of a batch, and events that are handled one by one."""

import asyncio

import pytest

from parley_events.subscription import Rejected
from parley_testing.contracts.bus import make_event
from parley_testing.fakes.amqp import FakeMessage
from parley_testing.fakes.batches import BatchHandlers, BatchQueue, Outage
from parley_testing.virtual_time import virtual_time


@virtual_time
async def test_a_poison_event_costs_only_itself() -> None:
    handlers = BatchHandlers()
    handlers.failing["bad"] = ValueError()
    queue = BatchQueue(handlers)
    await queue.deliver("a", "bad", "b", "c", "d")
    await asyncio.sleep(5)
    assert queue.answers() == ["acknowledged", "dead-lettered", "acknowledged", "acknowledged", "acknowledged"]
    assert handlers.batches == [[1, 2, 3, 4], [1, 2], [1], [2, 3], [2], [3], [4, 5]]
    assert handlers.single == [2, 2]


@virtual_time
async def test_events_that_were_left_out_are_handled_one_by_one_and_delay_no_other_key() -> None:
    handlers = BatchHandlers()
    handlers.left_out, handlers.failing["busy"] = {"left", "busy"}, Outage()
    handlers.failing.clear()
    queue = BatchQueue(handlers)
    handlers.seconds = 1
    await queue.deliver("a", "left", "b")
    await asyncio.sleep(1.5)
    await queue.deliver("left", "c")
    await asyncio.sleep(0.1)
    assert queue.answers() == ["acknowledged", "pending", "acknowledged", "pending", "pending"]
    await asyncio.sleep(5)
    assert queue.answers() == ["acknowledged"] * 5
    assert handlers.batches == [[1, 2, 3], [5]]
    assert handlers.single == [2, 4]


@virtual_time
async def test_the_acknowledgement_of_a_batch_covers_no_earlier_event_that_still_fails() -> None:
    handlers = BatchHandlers()
    handlers.left_out, handlers.failing["left"] = {"left"}, Outage()
    queue = BatchQueue(handlers)
    batch, handlers.failing = handlers.failing, {}
    await queue.deliver("left", "a")
    await asyncio.sleep(0)
    handlers.failing = batch
    await asyncio.sleep(1)
    handlers.failing = {}
    handlers.failing["left"] = Outage()
    await queue.deliver("b", "c")
    await asyncio.sleep(0.01)
    assert queue.answers()[0] == "pending"
    assert queue.answers()[1:] == ["acknowledged"] * 3
    handlers.failing.clear()
    await asyncio.sleep(5)
    assert queue.answers() == ["acknowledged"] * 4


@virtual_time
async def test_an_outage_retries_with_growing_delays_and_loses_nothing() -> None:
    handlers = BatchHandlers()
    handlers.failing = {"a": Outage(), "b": Outage()}
    queue = BatchQueue(handlers)
    await queue.deliver("a", "b")
    await asyncio.sleep(60)
    assert queue.answers() == ["pending"] * 2
    assert handlers.times[:2] == pytest.approx([0, 0.1])
    handlers.failing = {}
    await queue.deliver("c")
    await asyncio.sleep(3)
    assert queue.answers() == ["acknowledged"] * 3


@virtual_time
async def test_an_event_that_always_times_out_does_not_stop_the_others() -> None:
    handlers = BatchHandlers()
    handlers.failing["slow"] = Outage()
    queue = BatchQueue(handlers)
    await queue.deliver("slow", "a", "b", "c", "d", "e")
    await asyncio.sleep(10)
    assert queue.answers() == ["pending", *["acknowledged"] * 5]


@virtual_time
async def test_a_rejected_or_malformed_message_is_dead_lettered_without_a_retry() -> None:
    handlers = BatchHandlers()
    handlers.left_out, queue = {"bad"}, BatchQueue(handlers)
    message = FakeMessage(make_event(), queue.channel)
    del message.headers["ce-type"]
    await queue.dispatcher.dispatch(message.as_incoming())
    await queue.deliver("bad", "a")
    await asyncio.sleep(0)
    handlers.failing["bad"] = Rejected("never")
    await asyncio.sleep(1)
    assert (message.outcome, queue.answers()) == ("dead-lettered", ["dead-lettered", "acknowledged"])
    assert handlers.single == [1]
