"""Reading the event log, a stream, over plain AMQP 0-9-1, with an offset of our own across lost connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime

import structlog
from aio_pika import connect
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from parley_events.cloudevents import MalformedEvent, from_headers
from parley_events.connection import CLOSE_TIMEOUT, CONNECT_TIMEOUT, HEARTBEAT, OUTAGES, RECONNECT
from parley_events.subscription import Handler
from parley_events.topology import LOG, SETUP_TIMEOUT, TopologyError

log = structlog.get_logger()

PREFETCH = 100
LOOKS = 5
"""How often to look for the log, a second apart, before it counts as absent."""
OFFSET = "x-stream-offset"

Messages = asyncio.Queue[AbstractIncomingMessage | None]


class _HandlerFailed(Exception):
    """Carries a handler's exception past the handling of lost connections, whatever its type."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class Replay:
    """One pass over the log."""

    def __init__(self, url: str, handler: Handler) -> None:
        """Take the broker's URL and who is handed the events."""
        self._url, self._handler = url, handler
        self._next: int | None = None

    async def run(self, since: datetime | int | str, *, idle: float) -> int:
        """Read until nothing comes for ``idle`` seconds; return the next offset. Raises TopologyError without a log."""
        missing = 0
        while True:
            try:
                async with self._messages(since if self._next is None else self._next) as messages:
                    await self._read(messages, since, idle)
            except _HandlerFailed as failed:
                raise failed.cause from None
            except ChannelNotFoundEntity as error:
                # Also what a broker says that has just started, until the log's own recovery is through.
                missing += 1
                if missing >= LOOKS:
                    raise TopologyError(f"this broker has no {LOG}") from error
                await asyncio.sleep(RECONNECT)
            except OUTAGES as error:
                log.warning("log interrupted", reason=type(error).__name__, next_offset=self._next)
                await asyncio.sleep(RECONNECT)
            else:
                return self._next if self._next is not None else since if isinstance(since, int) else 0

    async def _read(self, messages: Messages, since: datetime | int | str, idle: float) -> None:
        while (message := await _within(messages, idle)) is not None:
            offset = int(str(message.headers[OFFSET]))
            if self._next is None or offset >= self._next:
                await self._hand_out(message, offset, since)
                self._next = offset + 1
            await message.ack()

    async def _hand_out(self, message: AbstractIncomingMessage, offset: int, since: datetime | int | str) -> None:
        # The broker begins with the chunk that holds the wanted place: what is older is ours to skip.
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
            error.add_note(f"at offset {offset} of {LOG}")
            raise _HandlerFailed(error) from error

    @contextlib.asynccontextmanager
    async def _messages(self, start: datetime | int | str) -> AsyncIterator[Messages]:
        messages: Messages = asyncio.Queue(PREFETCH + 1)
        async with asyncio.timeout(CONNECT_TIMEOUT):
            connection = await connect(self._url, timeout=CONNECT_TIMEOUT, heartbeat=HEARTBEAT)
        connection.close_callbacks.add(lambda *_: messages.put_nowait(None))
        try:
            async with asyncio.timeout(SETUP_TIMEOUT):
                channel = await connection.channel(publisher_confirms=False)
                await channel.set_qos(prefetch_count=PREFETCH)
                stream = await channel.get_queue(LOG)
                await stream.consume(messages.put, arguments={OFFSET: start})
            yield messages
        finally:
            with contextlib.suppress(*OUTAGES):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await connection.close()


async def _within(messages: Messages, idle: float) -> AbstractIncomingMessage | None:
    """Return the next message, None after ``idle`` seconds without one; raises when the connection is lost."""
    try:
        async with asyncio.timeout(idle):
            message = await messages.get()
    except TimeoutError:
        return None
    if message is None:
        raise ConnectionResetError("connection lost")
    return message
