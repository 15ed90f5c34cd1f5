"""Replay of the event log, a RabbitMQ stream, over AMQP 0-9-1."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Literal, TypeAlias

from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from parley_events.cloudevents import MalformedEvent, from_headers
from parley_events.connection import OUTAGES, RECONNECT_DELAY, Connect, close, connect
from parley_events.subscription import Handler
from parley_events.topology import EVENT_LOG, SETUP_TIMEOUT, TopologyError
from parley_events.waiting import at_most

log = logging.getLogger(__name__)

PREFETCH = 100
MAX_LOOKUPS = 5
"""Attempts to find the log, ``RECONNECT_DELAY`` seconds apart, before it counts as missing."""
OFFSET_HEADER = "x-stream-offset"

Start: TypeAlias = datetime | int | Literal["first"]
"""Where a replay starts: at a time, at an offset, or at the first event of the log."""
Messages: TypeAlias = "asyncio.Queue[AbstractIncomingMessage | None]"


class _HandlerFailed(Exception):
    """Carries a handler's exception past ``except OUTAGES``, whatever its type."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class LogReplay:
    """One pass over the event log; it reconnects after an outage and continues at the next offset."""

    def __init__(self, url: str, handler: Handler, *, connect: Connect = connect) -> None:
        self._url, self._handler, self._connect = url, handler, connect
        self._next_offset: int | None = None

    async def run(self, since: Start, *, idle: float) -> int:
        """Read until no event arrives for ``idle`` seconds; return the offset of the next event.

        Raise ``TopologyError`` if the broker has no event log.
        """
        lookups = 0
        while True:
            try:
                async with self._messages(since if self._next_offset is None else self._next_offset) as messages:
                    await self._read(messages, since, idle)
            except _HandlerFailed as failed:
                raise failed.cause from None
            except ChannelNotFoundEntity as error:
                # A broker that has just started answers "not found" until it has recovered the log.
                lookups += 1
                if lookups >= MAX_LOOKUPS:
                    raise TopologyError(f"This broker has no queue {EVENT_LOG}.") from error
                await asyncio.sleep(RECONNECT_DELAY)
            except OUTAGES as error:
                log.warning(
                    "replay_interrupted", extra={"reason": type(error).__name__, "next_offset": self._next_offset}
                )
                await asyncio.sleep(RECONNECT_DELAY)
            else:
                return self._end(since)

    def _end(self, since: Start) -> int:
        if self._next_offset is not None:
            return self._next_offset
        return since if isinstance(since, int) else 0

    async def _read(self, messages: Messages, since: Start, idle: float) -> None:
        while (message := await _next_message(messages, idle)) is not None:
            offset = int(str(message.headers[OFFSET_HEADER]))
            if self._next_offset is None or offset >= self._next_offset:
                await self._handle(message, offset, since)
                self._next_offset = offset + 1
            await message.ack()

    async def _handle(self, message: AbstractIncomingMessage, offset: int, since: Start) -> None:
        # The broker starts at the beginning of a chunk, so the first events may be older than requested.
        if isinstance(since, int) and offset < since:
            return
        try:
            event = from_headers(message.headers, message.body)
        except MalformedEvent:
            return
        if isinstance(since, datetime) and event.time < since:
            return
        try:
            await self._handler(event)
        except Exception as error:
            error.add_note(f"at offset {offset} of {EVENT_LOG}")
            raise _HandlerFailed(error) from error

    @contextlib.asynccontextmanager
    async def _messages(self, start: Start) -> AsyncIterator[Messages]:
        messages: Messages = asyncio.Queue(PREFETCH + 1)
        connection = await self._connect(self._url, "parley-replay")
        connection.close_callbacks.add(lambda *_: messages.put_nowait(None))
        try:
            async with asyncio.timeout(SETUP_TIMEOUT):
                channel = await connection.channel(publisher_confirms=False)
                await channel.set_qos(prefetch_count=PREFETCH)
                stream = await channel.get_queue(EVENT_LOG)
                await stream.consume(messages.put, arguments={OFFSET_HEADER: start})
            yield messages
        finally:
            await close(connection)


async def _next_message(messages: Messages, idle: float) -> AbstractIncomingMessage | None:
    """Return the next message, or None after ``idle`` seconds. Raise ConnectionResetError on a lost connection."""
    message = None
    async with at_most(idle) as wait:
        message = await messages.get()
    if wait.expired:
        return None
    if message is None:
        raise ConnectionResetError("connection lost")
    return message
