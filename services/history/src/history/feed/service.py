"""The feed of a person's own conversation events, as a stream that can be resumed."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from uuid import UUID

from history import cursors
from history.changes.notifier import Changes
from history.conversations.store import Feed
from history.errors import CursorExpired
from parley.errors import DependencyUnavailable, Overloaded
from parley_events.cloudevents import CloudEvent, to_structured

PING = 10.0
BATCH = 100
MOST_READERS = 5000
"""Feeds that one process serves at once."""
CONNECTED = ": connected\nid: {}\n\n"
PING_BLOCK = ": ping\n\n"
DRAINING_BLOCK = 'event: draining\ndata: {"retry_after_ms":500}\n\n'


class FeedService:
    """Streams feeds; a reader is a position, and a slow one costs nothing but its connection."""

    def __init__(
        self, feed: Feed, changes: Changes, *, drained: asyncio.Event, ping: float = PING, most: int = MOST_READERS
    ) -> None:
        """Take what stores the feed, who tells of news, and the event that is set when the process drains."""
        self._feed, self._changes, self._drained = feed, changes, drained
        self._ping, self._most, self._readers = ping, most, 0

    async def begin(self, user_id: UUID, cursor: str | None) -> int:
        """Return the position to read on from; raises InvalidCursor, CursorExpired or Overloaded."""
        if self._readers >= self._most:
            raise Overloaded("Too many feeds are open here.")
        head = await self._feed.head(user_id)
        if cursor is None:
            return head
        (position,) = cursors.decode(_kind(user_id), cursor, (int,))
        if position == head:
            return head
        following = await self._feed.after(user_id, position, 1)
        if not following or following[0].position != position + 1:
            raise CursorExpired
        return int(position)

    async def follow(self, user_id: UUID, position: int, *, until: float) -> AsyncIterator[str]:
        """Yield server-sent events from a position on, until ``until`` (seconds since the epoch) or the drain."""
        self._readers += 1
        try:
            yield CONNECTED.format(_cursor(user_id, position))
            # Away or behind what is kept: the stream ends, and the next request is told why.
            with contextlib.suppress(DependencyUnavailable, CursorExpired):
                async for block in self._blocks(user_id, position, until):
                    yield block
        finally:
            self._readers -= 1

    async def _blocks(self, user_id: UUID, position: int, until: float) -> AsyncIterator[str]:
        with self._changes.watch_feed(user_id) as news:
            while time.time() < until:
                news.clear()
                entries = await self._feed.after(user_id, position, BATCH)
                if entries and entries[0].position != position + 1:
                    raise CursorExpired
                for entry in entries:
                    position = entry.position
                    if entry.event is not None:
                        yield _block(user_id, entry.position, entry.event)
                if len(entries) == BATCH:
                    continue
                if self._drained.is_set():
                    yield DRAINING_BLOCK
                    return
                if not await self._wait(news):
                    yield PING_BLOCK

    async def _wait(self, news: asyncio.Event) -> bool:
        """Wait for news or the drain; return False when it is time for a ping."""
        waiting = [asyncio.ensure_future(event.wait()) for event in (news, self._drained)]
        try:
            done, _ = await asyncio.wait(waiting, timeout=self._ping, return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def _kind(user_id: UUID) -> str:
    return f"feed {user_id}"


def _cursor(user_id: UUID, position: int) -> str:
    return cursors.encode(_kind(user_id), (position,))


def _block(user_id: UUID, position: int, event: CloudEvent) -> str:
    data = to_structured(event).decode()
    return f"id: {_cursor(user_id, position)}\nevent: {event.name}\ndata: {data}\n\n"
