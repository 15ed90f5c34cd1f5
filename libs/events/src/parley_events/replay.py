"""Replay of the event log, a RabbitMQ stream, over AMQP 0-9-1."""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Literal, TypeAlias

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from parley_events.cloudevents import OFFSET_HEADER, MalformedEvent, from_headers
from parley_events.connection import LOGIN_REFUSED, OUTAGES, RECONNECT_DELAY, Connect, NodeUrls, close, connect, refusal
from parley_events.offsets import End, OffsetStore, OnProgress, Progress, Start, check_time
from parley_events.subscription import Handler
from parley_events.topology import EVENT_LOG, SETUP_TIMEOUT, TopologyError
from parley_events.waiting import at_most

log = logging.getLogger(__name__)

PREFETCH = 100
MAX_LOOKUPS = 5
"""Attempts to find the log without an event between them, ``RECONNECT_DELAY`` s apart, before it counts as missing."""
END_QUIET, END_LIMIT = 0.5, 1.0
"""Seconds without an event after which the end of the log is known, and the most seconds to look for it."""
REPORT_EVERY = 500
"""Events between two reports of progress, and between two saved offsets."""

Action: TypeAlias = Callable[[], Awaitable[int]]
Messages: TypeAlias = "asyncio.Queue[AbstractIncomingMessage | None]"


class _HandlerFailed(Exception):
    """Carries a handler's exception past ``except OUTAGES``."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class LogReplay:
    """One pass over the event log; it reconnects after an outage and continues at the next offset."""

    def __init__(
        self,
        url: str,
        handler: Handler,
        *,
        connect: Connect = connect,
        on_progress: OnProgress | None = None,
        offsets: OffsetStore | None = None,
        name: str = "replay",
    ) -> None:
        """``offsets`` keeps the position under ``name``: a replay that crashed continues there."""
        self._urls, self._handler, self._connect = NodeUrls(url), handler, connect
        self._on_progress, self._offsets, self._name = on_progress, offsets, name
        self._next: int | None = None
        self._end: int | None = None
        self._handled = 0

    async def run(self, since: Start, *, until: End = "now", idle: float = 2.0) -> int:
        """Read from ``since`` to ``until``; return the offset of the next event.

        Wait at most ``idle`` seconds for the first event of a log that may be empty. Raise ``TopologyError`` if the
        broker has no event log or refuses to show it.
        """
        check_time("since", since)
        check_time("until", until)
        start: Start = since
        if self._offsets is not None and (saved := await self._offsets.load_offset(self._name)) is not None:
            start = saved
        if until != "never":
            tail = await self._insist(lambda: self._find_end(idle))
            self._end = min(tail, until) if isinstance(until, int) else tail
            if start == "next":
                return tail
        return await self._pass_over(start, until, idle)

    async def _pass_over(self, start: Start, until: End, idle: float) -> int:
        try:
            await self._insist(lambda: self._read_from(start, until, idle))
        finally:
            if self._next is not None:
                await self._report()
        if self._next is not None:
            return self._next
        return max(start, self._end or 0) if isinstance(start, int) else self._end or 0

    async def _insist(self, action: Action) -> int:
        """Try again during an outage; end on a refusal."""
        lookups, reached = 0, self._next
        while True:
            try:
                return await action()
            except _HandlerFailed as failed:
                raise failed.cause from None
            except OUTAGES as error:
                reason = _explain(error)
                if self._next != reached:
                    lookups, reached = 0, self._next
                # A broker that has just started answers "not found" until it has recovered the log.
                lookups += bool(reason)
                if lookups >= MAX_LOOKUPS or isinstance(error, LOGIN_REFUSED):
                    raise TopologyError(reason) from error
                log.warning("replay_interrupted", extra={"reason": type(error).__name__, "next_offset": self._next})
            await asyncio.sleep(RECONNECT_DELAY)

    async def _find_end(self, idle: float) -> int:
        """Return the offset behind the last event that the log has now."""
        clock = asyncio.get_running_loop().time
        deadline, end, quiet = clock() + idle + END_LIMIT, 0, idle
        async with self._opened("last") as (messages, channel):
            while clock() < deadline:
                message = await _next_message(messages, quiet)
                if message is not None:
                    end, quiet = _offset(message) + 1, min(END_QUIET, idle)
                    await message.ack()
                elif await _has_nothing(messages, channel):
                    break
        return end

    async def _read_from(self, start: Start, until: End, idle: float) -> int:
        if self._end == 0 or self._is_at_end(self._next if self._next is not None else start):
            return 0
        async with self._opened(start if self._next is None else self._next) as (messages, _):
            wait = None if until == "never" or isinstance(start, int) or start == "first" else idle
            while (message := await _next_message(messages, wait)) is not None:
                offset, wait = _offset(message), None
                # The broker starts at the beginning of a chunk: the first events may be older than requested.
                first = self._next if self._next is not None else start
                if not isinstance(first, int) or offset >= first:
                    if self._is_at_end(offset) or _is_published_after(message, until):
                        return 0
                    await self._handle(message, offset)
                    await self._advance(offset + 1)
                await message.ack()
                if self._is_at_end(self._next):
                    return 0
        return 0

    def _is_at_end(self, offset: object) -> bool:
        return self._end is not None and isinstance(offset, int) and offset >= self._end

    async def _handle(self, message: AbstractIncomingMessage, offset: int) -> None:
        try:
            event = from_headers(message.headers, message.body)
        except MalformedEvent as error:
            log.warning("message_malformed", extra={"queue": EVENT_LOG, "offset": offset, "reason": str(error)})
            return
        try:
            await self._handler(event)
        except Exception as error:
            error.add_note(f"at offset {offset} of {EVENT_LOG}, event {event.id} of {event.partition_key}")
            raise _HandlerFailed(error) from error

    async def _advance(self, offset: int) -> None:
        self._next = offset
        self._handled += 1
        if self._handled % REPORT_EVERY == 0:
            await self._report()

    async def _report(self) -> None:
        assert self._next is not None
        if self._offsets is not None:
            await self._offsets.save_offset(self._name, self._next)
        if self._on_progress is not None:
            result = self._on_progress(Progress(self._next, self._end, self._handled))
            if inspect.isawaitable(result):
                await result

    @contextlib.asynccontextmanager
    async def _opened(self, start: Start | Literal["last"]) -> AsyncIterator[tuple[Messages, AbstractChannel]]:
        # The broker delivers whole chunks, more than the prefetch count; at a limit, messages would overtake.
        messages: Messages = asyncio.Queue()  # nosemgrep: unbounded-queue - the broker waits for acknowledgements

        def note_lost(*_: object) -> None:
            messages.put_nowait(None)

        connection = await self._connect(self._urls.next(), "parley-replay")
        connection.close_callbacks.add(note_lost)
        try:
            async with asyncio.timeout(SETUP_TIMEOUT):
                channel = await connection.channel(publisher_confirms=False)
                channel.close_callbacks.add(note_lost)
                # A deleted queue ends the consumer and leaves the channel open.
                (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(note_lost)
                await channel.set_qos(prefetch_count=PREFETCH)
                stream = await channel.get_queue(EVENT_LOG)
                await stream.consume(_receive_into(messages), arguments={OFFSET_HEADER: start})
            yield messages, channel
        finally:
            await close(connection)


def _explain(error: BaseException) -> str:
    """Return why waiting does not help, or an empty text during an outage."""
    if isinstance(error, ChannelNotFoundEntity):
        return f"This broker has no queue {EVENT_LOG}."
    return refusal(error)


def _offset(message: AbstractIncomingMessage) -> int:
    return int(str(message.headers[OFFSET_HEADER]))


def _is_published_after(message: AbstractIncomingMessage, until: End) -> bool:
    """Return whether a message was published at or after a time; events of old releases have no such time."""
    if not isinstance(until, datetime):
        return False
    published = message.timestamp
    return published is not None and published >= until


def _receive_into(messages: Messages) -> Callable[[AbstractIncomingMessage], Awaitable[None]]:
    async def receive(message: AbstractIncomingMessage) -> None:
        messages.put_nowait(message)

    return receive


async def _has_nothing(messages: Messages, channel: AbstractChannel) -> bool:
    """Return whether no message is on its way: the answer to a request comes after what was sent before it."""
    async with asyncio.timeout(SETUP_TIMEOUT):
        await channel.set_qos(prefetch_count=PREFETCH)
    return messages.empty()


async def _next_message(messages: Messages, idle: float | None) -> AbstractIncomingMessage | None:
    """Return the next message, or None after ``idle`` seconds. Raise ConnectionResetError on a lost connection."""
    message = None
    async with at_most(idle) as wait:
        message = await messages.get()
    if wait.expired:
        return None
    if message is None:
        raise ConnectionResetError("connection lost")
    return message
