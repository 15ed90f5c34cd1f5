"""Reader of the event log, a RabbitMQ stream, over AMQP 0-9-1."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal, TypeAlias

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from parley_events.cloudevents import OFFSET_HEADER
from parley_events.connection import Connect, close
from parley_events.offsets import Start
from parley_events.topology import EVENT_LOG, SETUP_TIMEOUT
from parley_events.waiting import at_most

LogStart: TypeAlias = Start | Literal["last"]
"""Where to start to read; ``last`` is the chunk at the end of the log."""

PREFETCH = 100
ACKNOWLEDGE_AFTER = PREFETCH // 2
"""Events that one acknowledgement covers. Each one wakes the broker, which costs more than to read an event."""
QUIET = 0.1
"""Seconds without an event after which fewer are acknowledged: the broker closes channels that acknowledge nothing."""


class EventLogReader:
    """One consumer of the event log. Acknowledgements let the broker send more messages, and store no position."""

    def __init__(self) -> None:
        # The broker delivers whole chunks, more than the prefetch count; at a limit, messages would overtake.
        self._messages: deque[AbstractIncomingMessage] = deque()  # nosemgrep: unbounded-queue - the broker waits
        self._changed = asyncio.Event()
        self._is_lost = False
        self._channel: AbstractChannel | None = None
        self._handled: AbstractIncomingMessage | None = None
        self._unacknowledged = 0

    async def next(self, idle: float | None) -> AbstractIncomingMessage | None:
        """Return the next message, or None after ``idle`` seconds. Raise ConnectionResetError on a lost connection."""
        if not self._messages and self._unacknowledged and not await self._wait(QUIET):
            await self._acknowledge()
        if not self._messages and not await self._wait(idle):
            return None
        if self._messages:
            return self._messages.popleft()
        raise ConnectionResetError("connection lost")

    async def done(self, message: AbstractIncomingMessage) -> None:
        """Note that the message that ``next`` has returned is handled."""
        self._handled = message
        self._unacknowledged += 1
        if self._unacknowledged >= ACKNOWLEDGE_AFTER:
            await self._acknowledge()

    async def has_nothing(self) -> bool:
        """Return whether no message is on its way: the broker answers a request after the messages sent before it."""
        assert self._channel is not None
        async with asyncio.timeout(SETUP_TIMEOUT):
            await self._channel.set_qos(prefetch_count=PREFETCH)
        return not self._messages

    async def consume(self, channel: AbstractChannel, start: LogStart) -> None:
        """Start to read. Raise ``ChannelNotFoundEntity`` if the broker has no event log."""
        self._channel = channel
        channel.close_callbacks.add(self.note_lost)
        # A deleted queue ends the consumer and leaves the channel open.
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(self.note_lost)
        await channel.set_qos(prefetch_count=PREFETCH)
        stream = await channel.get_queue(EVENT_LOG)
        await stream.consume(self._receive, arguments={OFFSET_HEADER: start})

    def note_lost(self, *_: object) -> None:
        """Make ``next`` fail after the messages that have arrived."""
        self._is_lost = True
        self._changed.set()

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        self._messages.append(message)
        self._changed.set()

    async def _acknowledge(self) -> None:
        assert self._handled is not None
        self._unacknowledged = 0
        await self._handled.ack(multiple=True)

    async def _wait(self, seconds: float | None) -> bool:
        """Wait at most ``seconds`` for a message or a loss; return whether there is one."""
        if not self._is_lost:
            self._changed.clear()
            async with at_most(seconds):
                await self._changed.wait()
        return self._changed.is_set()


@contextlib.asynccontextmanager
async def open_log(connect: Connect, url: str, start: LogStart) -> AsyncIterator[EventLogReader]:
    """Read the log from a position, over a connection of its own."""
    reader = EventLogReader()
    connection = await connect(url, "parley-replay")
    connection.close_callbacks.add(reader.note_lost)
    try:
        async with asyncio.timeout(SETUP_TIMEOUT):
            channel = await connection.channel(publisher_confirms=False)
            await reader.consume(channel, start)
        yield reader
    finally:
        await close(connection)
