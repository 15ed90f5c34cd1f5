"""Replay of the event log from a broker: prefetch, acknowledgements, restarts, a deleted log, and refusals."""

import asyncio

import pytest
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ProbableAuthenticationError
from aiormq.exceptions import ChannelAccessRefused

from parley_events import CloudEvent, TopologyError, TurnEnded
from parley_events.cloudevents import OFFSET_HEADER
from parley_events.log_reader import ACKNOWLEDGE_AFTER, PREFETCH, QUIET
from parley_events.replay import MAX_LOOKUPS, LogReplay
from parley_events.testing import sample
from parley_testing.fakes.amqp import FakeBroker, FakeChannel, FakeConnection, FakeMessage
from parley_testing.fakes.recording_handler import RecordingHandler
from parley_testing.virtual_time import virtual_time


def logged(number: int, channel: FakeChannel | None = None) -> FakeMessage:
    """Return the message at an offset of the log; its event has the same sequence."""
    message = FakeMessage(sample(TurnEnded, key="k", sequence=number), channel)
    message.headers[OFFSET_HEADER] = number
    return message


@virtual_time
async def test_no_event_is_skipped_when_the_broker_delivers_more_than_the_prefetch_count() -> None:
    broker, handled = FakeBroker(), list[int]()
    broker.log.extend(logged(number) for number in range(3 * PREFETCH))

    async def handle(event: CloudEvent) -> None:
        await asyncio.sleep(0)
        handled.append(event.sequence)
        if len(handled) == len(broker.log):
            raise EOFError

    with pytest.raises(EOFError):
        async with asyncio.timeout(30):
            await LogReplay("amqp://broker/", handle, connect=broker.connect).run("first", until="never")
    assert handled == list(range(3 * PREFETCH))


@virtual_time
async def test_a_log_that_is_deleted_during_a_replay_ends_it() -> None:
    broker = FakeBroker()
    replay = asyncio.create_task(
        LogReplay("amqp://broker/", RecordingHandler(), connect=broker.connect).run("first", until="never")
    )
    await asyncio.sleep(1)
    broker.queue_errors.extend(ChannelNotFoundEntity("NOT_FOUND") for _ in range(MAX_LOOKUPS))
    broker.connections[0].channels[0].on_consumer_cancel_callbacks.notify()
    with pytest.raises(TopologyError, match=r"no queue parley\.log"):
        async with asyncio.timeout(60):
            await replay


@virtual_time
async def test_restarts_of_the_broker_between_events_do_not_end_a_replay() -> None:
    broker, handler = FakeBroker(), RecordingHandler()
    replay = asyncio.create_task(
        LogReplay("amqp://broker/", handler, connect=broker.connect).run("first", until="never")
    )
    for number in range(2):
        broker.log[:] = [logged(each) for each in range(number + 1)]
        broker.queue_errors.extend(ChannelNotFoundEntity("NOT_FOUND") for _ in range(MAX_LOOKUPS - 1))
        if broker.connections:
            broker.connections[-1].channels[-1].lose()
        await asyncio.sleep(60)
    replay.cancel()
    with pytest.raises(asyncio.CancelledError):
        await replay
    assert [event.sequence for event in handler.seen] == [0, 1]


@pytest.mark.parametrize(
    ("error", "message", "expected"),
    [
        (ChannelNotFoundEntity("NOT_FOUND"), r"no queue parley\.log", MAX_LOOKUPS),
        (ChannelAccessRefused("ACCESS_REFUSED"), "permissions", MAX_LOOKUPS),
        (ProbableAuthenticationError("ACCESS_REFUSED"), "the user or the password", 1),
    ],
)
def test_a_missing_log_and_a_refusal_end_the_replay(error: Exception, message: str, expected: int) -> None:
    attempts: list[str] = []

    async def refuse(url: str, _name: str) -> AbstractConnection:
        attempts.append(url)
        raise error

    @virtual_time
    async def scenario() -> None:
        with pytest.raises(TopologyError, match=message):
            await LogReplay("amqp://broker/", RecordingHandler(), connect=refuse).run("first")

    scenario()
    assert len(attempts) == expected


@virtual_time
async def test_one_acknowledgement_covers_many_events_and_a_quiet_replay_acknowledges_the_rest() -> None:
    broker, channel = FakeBroker(), FakeChannel(FakeConnection())
    broker.log.extend(logged(number, channel) for number in range(ACKNOWLEDGE_AFTER + 1))
    replay = asyncio.create_task(
        LogReplay("amqp://broker/", RecordingHandler(), connect=broker.connect).run("first", until="never")
    )
    await asyncio.sleep(QUIET / 2)
    assert channel.acks == 1
    await asyncio.sleep(QUIET)
    assert channel.acks == 2
    assert {message.outcome for message in channel.delivered} == {"acknowledged"}
    replay.cancel()
    await asyncio.gather(replay, return_exceptions=True)
