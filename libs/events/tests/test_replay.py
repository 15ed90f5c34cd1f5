"""Replay of the event log: its start, its end, lost connections, and failing handlers."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

from parley_events import CloudEvent, TopologyError
from parley_events.connection import RECONNECT_DELAY
from parley_events.replay import MAX_LOOKUPS, OFFSET_HEADER, LogReplay, Start
from parley_testing.contracts.bus import make_event
from parley_testing.fakes.amqp import FakeBroker, FakeMessage
from parley_testing.virtual_time import virtual_time

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def logged(offset: int) -> FakeMessage:
    """Return the log message at an offset; its time is as many minutes past noon."""
    event = make_event(sequence=offset)
    message = FakeMessage(event)
    message.headers |= {OFFSET_HEADER: offset, "ce-time": (NOON + timedelta(minutes=offset)).isoformat()}
    return message


class LogBroker(FakeBroker):
    """A broker whose log holds the offsets 0 to 9."""

    def __init__(self) -> None:
        super().__init__()
        self.log = [logged(offset) for offset in range(10)]


class OffsetRecorder:
    def __init__(self) -> None:
        self.offsets: list[int] = []

    async def __call__(self, event: CloudEvent) -> None:
        self.offsets.append(event.sequence)


async def replay(broker: FakeBroker, handler: Callable[[CloudEvent], Awaitable[None]], since: Start = "first") -> int:
    return await LogReplay("amqp://broker/", handler, connect=broker.connect).run(since, idle=2)


@virtual_time
async def test_all_events_are_handled_in_order_and_the_next_offset_is_returned() -> None:
    broker, handler = LogBroker(), OffsetRecorder()
    assert await replay(broker, handler) == 10
    assert handler.offsets == list(range(10))
    assert {message.outcome for message in broker.log} == {"acknowledged"}


@pytest.mark.parametrize(("since", "expected"), [(4, range(4, 10)), (NOON + timedelta(minutes=7), range(7, 10))])
def test_events_before_the_start_are_skipped(since: Start, expected: range) -> None:
    @virtual_time
    async def scenario() -> None:
        handler = OffsetRecorder()
        assert await replay(LogBroker(), handler, since) == 10
        assert handler.offsets == list(expected)

    scenario()


@pytest.mark.parametrize(("since", "end"), [(7, 7), ("first", 0)])
def test_an_empty_log_ends_where_the_replay_started(since: Start, end: int) -> None:
    @virtual_time
    async def scenario() -> None:
        assert await replay(FakeBroker(), OffsetRecorder(), since) == end

    scenario()


@virtual_time
async def test_a_replay_ends_when_no_event_arrives_for_the_idle_time() -> None:
    await replay(LogBroker(), OffsetRecorder())
    assert asyncio.get_running_loop().time() == pytest.approx(2)


@virtual_time
async def test_a_lost_connection_repeats_and_skips_no_event() -> None:
    broker, offsets = LogBroker(), list[int]()

    async def handler(event: CloudEvent) -> None:
        offsets.append(event.sequence)
        if event.sequence == 4:
            broker.connections[0].lose()
            await asyncio.sleep(1)

    assert await replay(broker, handler) == 10
    assert offsets == list(range(10))
    assert len(broker.connections) == 2


@virtual_time
async def test_a_malformed_message_is_skipped() -> None:
    broker, handler = LogBroker(), OffsetRecorder()
    del broker.log[3].headers["ce-type"]
    assert await replay(broker, handler) == 10
    assert handler.offsets == [0, 1, 2, 4, 5, 6, 7, 8, 9]


@virtual_time
async def test_a_failing_handler_ends_the_replay_and_names_the_offset() -> None:
    async def handler(event: CloudEvent) -> None:
        if event.sequence == 3:
            raise ConnectionError("of the handler")

    broker = LogBroker()
    with pytest.raises(ConnectionError, match="of the handler") as failure:
        await replay(broker, handler)
    assert failure.value.__notes__ == ["at offset 3 of parley.log"]
    assert [message.outcome for message in broker.log[2:4]] == ["acknowledged", "pending"]


@virtual_time
async def test_a_broker_that_is_down_is_waited_for() -> None:
    broker, handler = LogBroker(), OffsetRecorder()
    broker.is_down = True
    asyncio.get_running_loop().call_later(10, setattr, broker, "is_down", False)
    assert await replay(broker, handler) == 10
    assert broker.attempts == 11


@virtual_time
async def test_a_log_that_is_not_recovered_yet_is_looked_up_again() -> None:
    broker, handler = LogBroker(), OffsetRecorder()
    broker.queue_errors.extend(ChannelNotFoundEntity("NOT_FOUND") for _ in range(MAX_LOOKUPS - 1))
    assert await replay(broker, handler) == 10
    assert asyncio.get_running_loop().time() == pytest.approx((MAX_LOOKUPS - 1) * RECONNECT_DELAY + 2)


@virtual_time
async def test_a_missing_log_is_an_error() -> None:
    broker = FakeBroker()
    broker.queue_errors.extend(ChannelNotFoundEntity("NOT_FOUND") for _ in range(MAX_LOOKUPS))
    with pytest.raises(TopologyError, match=r"no queue parley\.log"):
        await replay(broker, OffsetRecorder())
