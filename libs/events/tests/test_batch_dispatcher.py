"""Batch dispatcher: size and pace of batches, failing members, acknowledgements, and shutdown."""

import asyncio
from collections.abc import Sequence

import pytest

from parley_events import CloudEvent
from parley_events.batch_dispatcher import BatchDispatcher
from parley_events.failure_policy import FailurePolicy
from parley_events.subscription import Batching, Rejected, Subscription
from parley_testing.contracts.bus import make_event
from parley_testing.fakes.amqp import FakeChannel, FakeConnection, FakeMessage
from parley_testing.virtual_time import virtual_time


class Outage(Exception):
    pass


class Handlers:
    """Handles batches and single events, which fail if their keys are listed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        """Sequences of each batch that was tried."""
        self.times: list[float] = []
        self.single: list[int] = []
        self.failing: dict[str, Exception] = {}
        self.left_out: set[str] = set()
        self.seconds = 0.0

    async def batch(self, events: Sequence[CloudEvent]) -> Sequence[CloudEvent]:
        self.batches.append([event.sequence for event in events])
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        for event in events:
            self._fail(event)
        return [event for event in events if event.partition_key in self.left_out]

    async def one(self, event: CloudEvent) -> None:
        self.single.append(event.sequence)
        await asyncio.sleep(self.seconds)
        self._fail(event)

    def _fail(self, event: CloudEvent) -> None:
        if error := self.failing.get(event.partition_key):
            raise error


class Queue:
    """A dispatcher, and the channel on which its messages arrive."""

    def __init__(self, handlers: Handlers, *, max_events: int = 4, max_bytes: int = 10_000) -> None:
        batching = Batching(handlers.batch, max_events, max_bytes)
        subscription = Subscription("q", ("#",), handlers.one, max_attempts=2, batching=batching)
        self.outcomes: list[str] = []
        self.dispatcher = BatchDispatcher(
            subscription,
            batching,
            FailurePolicy((Outage,)),
            on_outcome=lambda outcome, _event: self.outcomes.append(outcome),
        )
        self.channel = FakeChannel(FakeConnection())
        self.messages: list[FakeMessage] = []

    async def deliver(self, *keys: str) -> None:
        for key in keys:
            self.messages.append(FakeMessage(make_event(key=key, sequence=len(self.messages) + 1), self.channel))
            await self.dispatcher.dispatch(self.messages[-1].as_incoming())

    def answers(self) -> list[str]:
        return [message.outcome for message in self.messages]


@virtual_time
async def test_an_event_of_an_idle_queue_is_handled_at_once() -> None:
    handlers = Handlers()
    queue = Queue(handlers)
    await asyncio.sleep(5)
    await queue.deliver("a")
    await asyncio.sleep(1)
    await queue.deliver("a")
    await asyncio.sleep(1)
    assert handlers.times == pytest.approx([5, 6])
    assert queue.answers() == ["acknowledged"] * 2


@virtual_time
async def test_a_batch_begins_20_ms_after_the_one_before_unless_it_is_full() -> None:
    handlers = Handlers()
    queue = Queue(handlers)
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
async def test_a_batch_ends_at_its_limit_of_bytes() -> None:
    handlers = Handlers()
    await Queue(handlers, max_bytes=60).deliver("a", "b", "c", "d")
    await asyncio.sleep(1)
    assert [len(batch) for batch in handlers.batches] == [2, 2]


@virtual_time
async def test_a_batch_is_acknowledged_as_a_whole_after_its_handler_has_returned() -> None:
    handlers = Handlers()
    handlers.seconds = 1
    queue = Queue(handlers)
    await queue.deliver("a", "b", "a", "c")
    await asyncio.sleep(0.5)
    assert queue.answers() == ["pending"] * 4
    await asyncio.sleep(1)
    assert (queue.answers(), queue.channel.acks) == (["acknowledged"] * 4, 1)
    assert queue.outcomes == ["handled"] * 4


@virtual_time
async def test_a_poison_event_costs_only_itself() -> None:
    handlers = Handlers()
    handlers.failing["bad"] = ValueError()
    queue = Queue(handlers)
    await queue.deliver("a", "bad", "b", "c", "d")
    await asyncio.sleep(5)
    assert queue.answers() == ["acknowledged", "dead-lettered", "acknowledged", "acknowledged", "acknowledged"]
    assert handlers.batches == [[1, 2, 3, 4], [1, 2], [1], [2, 3], [2], [3], [4, 5]]
    assert handlers.single == [2, 2]


@virtual_time
async def test_events_that_were_left_out_are_handled_one_by_one_and_delay_no_other_key() -> None:
    handlers = Handlers()
    handlers.left_out, handlers.failing["busy"] = {"left", "busy"}, Outage()
    handlers.failing.clear()
    queue = Queue(handlers)
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
    handlers = Handlers()
    handlers.left_out, handlers.failing["left"] = {"left"}, Outage()
    queue = Queue(handlers)
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
    handlers = Handlers()
    handlers.failing = {"a": Outage(), "b": Outage()}
    queue = Queue(handlers)
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
    handlers = Handlers()
    handlers.failing["slow"] = Outage()
    queue = Queue(handlers)
    await queue.deliver("slow", "a", "b", "c", "d", "e")
    await asyncio.sleep(10)
    assert queue.answers() == ["pending", *["acknowledged"] * 5]


@virtual_time
async def test_a_rejected_or_malformed_message_is_dead_lettered_without_a_retry() -> None:
    handlers = Handlers()
    handlers.left_out, queue = {"bad"}, Queue(handlers)
    message = FakeMessage(make_event(), queue.channel)
    del message.headers["ce-type"]
    await queue.dispatcher.dispatch(message.as_incoming())
    await queue.deliver("bad", "a")
    await asyncio.sleep(0)
    handlers.failing["bad"] = Rejected("never")
    await asyncio.sleep(1)
    assert (message.outcome, queue.answers()) == ("dead-lettered", ["dead-lettered", "acknowledged"])
    assert handlers.single == [1]


@virtual_time
async def test_messages_of_a_closed_channel_are_left_to_their_next_delivery() -> None:
    handlers = Handlers()
    handlers.seconds = 1
    queue = Queue(handlers)
    await queue.deliver("a")
    await asyncio.sleep(0.5)
    await queue.deliver("b", "c")
    queue.channel.lose()
    await asyncio.sleep(5)
    assert handlers.batches == [[1]]


@virtual_time
async def test_stopping_lets_the_running_batch_finish_and_starts_no_other() -> None:
    handlers = Handlers()
    handlers.seconds = 5
    queue = Queue(handlers)
    await queue.deliver("a", "b")
    await asyncio.sleep(1)
    await queue.deliver("c")
    await queue.dispatcher.stop(10)
    assert queue.answers() == ["acknowledged", "acknowledged", "pending"]


@virtual_time
async def test_stopping_acknowledges_no_event_whose_retry_it_ends() -> None:
    handlers = Handlers()
    handlers.left_out, queue = {"left"}, Queue(handlers)
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
    handlers = Handlers()
    handlers.seconds = 50
    queue = Queue(handlers)
    await queue.deliver("a")
    await asyncio.sleep(1)
    await queue.dispatcher.stop(10)
    assert queue.answers() == ["pending"]
    assert asyncio.get_running_loop().time() == pytest.approx(11)
