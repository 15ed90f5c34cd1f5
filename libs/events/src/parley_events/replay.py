"""Replay of the event log: start, end, progress, outages, and the stored offset."""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TypeAlias

from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from parley_events.cloudevents import OFFSET_HEADER, MalformedEvent, from_headers
from parley_events.connection import LOGIN_REFUSED, OUTAGES, RECONNECT_DELAY, Connect, NodeUrls, connect, refusal
from parley_events.gaps import Gap, OnGap, log_gap
from parley_events.log_reader import EventLogReader, LogStart, open_log
from parley_events.offsets import End, OffsetStore, OnProgress, Progress, Start, check_time
from parley_events.subscription import Handler
from parley_events.topology import EVENT_LOG, TopologyError

log = logging.getLogger(__name__)

MAX_LOOKUPS = 5
"""Attempts to find the log without an event between them, ``RECONNECT_DELAY`` s apart, before it counts as missing."""
END_QUIET, END_LIMIT = 0.5, 1.0
"""Seconds without an event after which the end of the log is known, and the most seconds to look for it."""
END_LOOKS = 3
"""Times that the end of the log is looked for before a position behind it counts as one of another log."""
REPORT_EVERY = 500
"""Events between two reports of progress, and between two saved offsets."""

Action: TypeAlias = Callable[[], Awaitable[int]]


class _CallbackFailed(Exception):
    """Carries an exception of a handler, an offset store or another callback past ``except OUTAGES``."""

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
        on_gap: OnGap | None = None,
        name: str = "replay",
    ) -> None:
        """``offsets`` keeps the position under ``name``: a replay that crashed continues there.

        ``on_gap`` is called before the first event behind offsets that the log no longer has.
        """
        self._urls, self._handler, self._connect = NodeUrls(url), handler, connect
        self._on_progress, self._offsets, self._name = on_progress, offsets, name
        self._on_gap = on_gap
        self._next: int | None = None
        self._end: int | None = None
        self._handled = 0

    async def run(self, since: Start, *, until: End = "now", idle: float = 2.0) -> int:
        """Read from ``since`` to ``until``; return the offset of the next event.

        Wait at most ``idle`` seconds for the first event of a log that may be empty. Raise ``TopologyError`` if the
        broker has no event log or refuses to show it, or if the log ends before the saved offset, or before what was
        handled: it is another log, or has lost its end, and its events up to that offset would be skipped.
        """
        check_time("since", since)
        check_time("until", until)
        start: Start = since
        if self._offsets is not None and (saved := await self._offsets.load_offset(self._name)) is not None:
            start = saved
            await self._insist(lambda: self._check_reaches(saved, idle))
        if until != "never":
            tail = await self._insist(lambda: self._find_end(idle))
            self._end = min(tail, until) if isinstance(until, int) else tail
            if start == "next":
                return tail
        return await self._pass_over(start, until, idle)

    async def _pass_over(self, start: Start, until: End, idle: float) -> int:
        try:
            await self._insist(lambda: self._read_from(start, until, idle))
        except BaseException:
            with contextlib.suppress(Exception):  # what ended the replay is raised
                await self._report()
            raise
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
            except _CallbackFailed as failed:
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
        async with self._open("last") as reader:
            while clock() < deadline:
                message = await reader.next(quiet)
                if message is not None:
                    end, quiet = _offset(message) + 1, min(END_QUIET, idle)
                    await reader.done(message)
                elif await reader.has_nothing():
                    break
        return end

    async def _check_reaches(self, offset: int, idle: float) -> int:
        for _ in range(END_LOOKS):
            end = await self._find_end(idle)
            if end >= offset:
                return end
        raise TopologyError(
            f"{EVENT_LOG} ends at offset {end}, before offset {offset}, where the replay continues: it is new, or "
            "lost its end. Delete the saved offset, if there is one, and replay it from its beginning."
        )

    async def _read_from(self, start: Start, until: End, idle: float) -> int:
        if self._end == 0 or self._is_at_end(self._next if self._next is not None else start):
            return 0
        if self._next is not None:
            await self._check_reaches(self._next, idle)
        async with self._open(start if self._next is None else self._next) as reader:
            wait = None if until == "never" or isinstance(start, int) or start == "first" else idle
            while (message := await reader.next(wait)) is not None:
                offset, wait = _offset(message), None
                # The broker starts at the beginning of a chunk: the first events may be older than requested.
                first = self._next if self._next is not None else start
                if isinstance(first, int) and offset > first:
                    await self._check_kept(first, offset, idle)
                if not isinstance(first, int) or offset >= first:
                    if self._is_at_end(offset) or _is_published_after(message, until):
                        return 0
                    await self._handle(message, offset)
                    await self._advance(offset + 1)
                await reader.done(message)
                if self._is_at_end(self._next):
                    return 0
        return 0

    async def _check_kept(self, wanted: int, found: int, idle: float) -> None:
        """Report a gap if the log begins behind the wanted offset. Inside the log, an offset may have no event."""
        async with self._open("first") as reader:
            oldest = await reader.next(idle)
        if oldest is None or _offset(oldest) <= wanted:
            return
        end = found if self._end is None else min(found, self._end)
        gap = Gap(EVENT_LOG, "", wanted, end - 1, of_log=True)
        log_gap(gap)
        if self._on_gap is not None:
            try:
                await self._on_gap(gap)
            except Exception as error:
                raise _CallbackFailed(error) from error

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
            raise _CallbackFailed(error) from error

    async def _advance(self, offset: int) -> None:
        self._next = offset
        self._handled += 1
        if self._handled % REPORT_EVERY == 0:
            try:
                await self._report()
            except Exception as error:
                raise _CallbackFailed(error) from error

    async def _report(self) -> None:
        if self._next is None:
            return
        if self._offsets is not None:
            await self._offsets.save_offset(self._name, self._next)
        if self._on_progress is not None:
            result = self._on_progress(Progress(self._next, self._end, self._handled))
            if inspect.isawaitable(result):
                await result

    def _open(self, start: LogStart) -> AbstractAsyncContextManager[EventLogReader]:
        return open_log(self._connect, self._urls.next(), start)


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
