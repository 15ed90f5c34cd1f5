"""Acknowledgements in the background: none is lost on a living channel, and none is sent twice."""

import asyncio
from typing import cast

from aio_pika.exceptions import ChannelInvalidStateError

from parley_events.consuming.acknowledgement import ACKNOWLEDGE_TIMEOUT, Acknowledger
from parley_events.consuming.received_messages import ReceivedMessage
from parley_testing.virtual_time import virtual_time


class Channel:
    """Records acknowledgements; unless ``free`` is set, it holds them back as a full socket does."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.free = asyncio.Event()
        self.free.set()
        self.is_closed = False


class UnacknowledgedMessage:
    """A message whose acknowledgement waits for its channel."""

    def __init__(self, channel: Channel, tag: int) -> None:
        self._channel, self._tag = channel, tag

    async def ack(self, *, wait: bool) -> None:
        assert not wait
        if self._channel.is_closed:
            raise ChannelInvalidStateError("closed")
        await self._channel.free.wait()
        self._channel.acknowledged.append(self._tag)


def messages(channel: Channel, *tags: int) -> list[ReceivedMessage]:
    return [cast("ReceivedMessage", UnacknowledgedMessage(channel, tag)) for tag in tags]


async def test_messages_are_acknowledged_in_order_and_once() -> None:
    channel, acknowledger = Channel(), Acknowledger()
    acknowledger.add(messages(channel, 1, 2))
    acknowledger.add(messages(channel, 3))
    await acknowledger.finish()
    acknowledger.add(messages(channel, 4))
    await acknowledger.finish()
    assert channel.acknowledged == [1, 2, 3, 4]


async def test_messages_of_a_lost_channel_do_not_hold_up_those_of_the_next() -> None:
    lost, channel, acknowledger = Channel(), Channel(), Acknowledger()
    lost.is_closed = True
    acknowledger.add([*messages(lost, 1, 2), *messages(channel, 1, 2)])
    await acknowledger.finish()
    assert (lost.acknowledged, channel.acknowledged) == ([], [1, 2])


@virtual_time
async def test_a_message_that_could_not_be_acknowledged_in_time_is_acknowledged_later() -> None:
    channel, acknowledger = Channel(), Acknowledger()
    channel.free.clear()
    acknowledger.add(messages(channel, 1, 2))
    await asyncio.sleep(3 * ACKNOWLEDGE_TIMEOUT)
    assert channel.acknowledged == []
    channel.free.set()
    await acknowledger.finish()
    assert channel.acknowledged == [1, 2]


@virtual_time
async def test_the_wait_for_acknowledgements_of_a_frozen_broker_ends() -> None:
    channel, acknowledger = Channel(), Acknowledger()
    channel.free.clear()
    acknowledger.add(messages(channel, 1))
    async with asyncio.timeout(ACKNOWLEDGE_TIMEOUT + 1):
        await acknowledger.finish()
