"""Feed service: server-sent events of a user's conversations."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from uuid import UUID

from history.change_notifier.notifier import ChangeNotifier
from history.errors import CursorExpired
from history.event_feed.store import FeedStore
from parley.errors import DependencyUnavailable, InvalidCursor, Overloaded
from parley.process.sockets import PEER_TIMEOUT
from parley.web import cursors
from parley.web.event_stream import one_line
from parley_events.cloudevents import CloudEvent, to_structured

BATCH_SIZE = 100
"""Entries read in one query."""
MAX_BATCH_LENGTH = 1_000_000
"""Characters of their data with which a batch ends: a reader holds it while it is sent."""
MAX_READERS = 5000
"""Open feeds per process."""
CONNECTED_BLOCK = ": connected\nid: {}\n\n"
PING_BLOCK = ": ping\n\n"
DRAINING_BLOCK = 'event: draining\ndata: {"retry_after_ms":500}\n\n'


class FeedService:
    """Streams feeds from storage.

    A reader is a position and a batch of bounded length, so a slow reader holds little in memory.
    """

    def __init__(
        self,
        store: FeedStore,
        changes: ChangeNotifier,
        *,
        drain_started: asyncio.Event,
        ping_interval: float | None = None,
        max_readers: int = MAX_READERS,
    ) -> None:
        self._store, self._changes, self._drain_started = store, changes, drain_started
        self.ping_interval = ping_interval or PEER_TIMEOUT.ping_interval
        self._max_readers, self._readers = max_readers, 0

    async def begin(self, user_id: UUID, cursor: str | None) -> int:
        """Return the position to start after; raises InvalidCursor, CursorExpired or Overloaded."""
        if self._readers >= self._max_readers:
            raise Overloaded("Too many event feeds are open on this server. Try again later.")
        self._readers += 1  # one that begins counts, or many would pass the check while the database is slow
        try:
            return await self._first_position(user_id, cursor)
        finally:
            self._readers -= 1

    async def _first_position(self, user_id: UUID, cursor: str | None) -> int:
        head = await self._store.head(user_id)
        if cursor is None:
            return head
        position = _position(user_id, cursor)
        if position == head:
            return head
        following = (await self._store.after(user_id, position, 1, MAX_BATCH_LENGTH)).entries
        if not following or following[0].position != position + 1:
            raise CursorExpired
        return position

    async def follow(self, user_id: UUID, position: int, *, until: float) -> AsyncIterator[str]:
        """Yield server-sent events after a position, until the Unix time ``until`` or until the service drains."""
        self._readers += 1
        try:
            yield CONNECTED_BLOCK.format(_cursor(user_id, position))
            # On these errors the stream ends, and the client gets the error when it reconnects.
            with contextlib.suppress(DependencyUnavailable, CursorExpired):
                async for block in self._blocks(user_id, position, until):
                    yield block
        finally:
            self._readers -= 1

    async def _blocks(self, user_id: UUID, position: int, until: float) -> AsyncIterator[str]:
        with self._changes.watch_feed(user_id) as grown:
            while time.time() < until:
                grown.clear()
                batch = await self._store.after(user_id, position, BATCH_SIZE, MAX_BATCH_LENGTH)
                if batch.entries and batch.entries[0].position != position + 1:
                    raise CursorExpired
                for entry in batch.entries:
                    position = entry.position
                    if entry.event is not None:
                        yield _block(user_id, entry.position, entry.event)
                if batch.is_full:
                    continue
                if self._drain_started.is_set():
                    yield DRAINING_BLOCK
                    return
                if not await self._wait(grown):
                    yield PING_BLOCK

    async def _wait(self, grown: asyncio.Event) -> bool:
        """Wait until the feed grows or the service drains; return False when a ping is due."""
        waiting = [asyncio.ensure_future(event.wait()) for event in (grown, self._drain_started)]
        try:
            done, _ = await asyncio.wait(waiting, timeout=self.ping_interval, return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def _kind(user_id: UUID) -> str:
    return f"feed {user_id}"


def _position(user_id: UUID, cursor: str) -> int:
    try:
        (position,) = cursors.decode(_kind(user_id), cursor, (int,))
    except InvalidCursor:
        raise InvalidCursor(
            "The cursor does not belong to this event feed. Send the last event ID that you received, or omit it to "
            "start now."
        ) from None
    return int(position)


def _cursor(user_id: UUID, position: int) -> str:
    return cursors.encode(_kind(user_id), (position,))


def _block(user_id: UUID, position: int, event: CloudEvent) -> str:
    data = one_line(to_structured(event)).decode()
    return f"id: {_cursor(user_id, position)}\nevent: {event.name}\ndata: {data}\n\n"
