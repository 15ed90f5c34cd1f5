"""Change notifier: wakes waiting requests when a turn ends or a user's feed grows.

Changes made by this process wake their waiters at once. Changes made by other processes are found by polling: one query
per interval for all waiters of this process, and none while no request waits.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Protocol
from uuid import UUID

from parley.process.loop_steps import run_step

TURN_POLL_INTERVAL = 0.02
"""Seconds between two polls for ended turns: a turn is usually stored 20 to 50 ms after its end, and a request waits at
most some seconds."""
FEED_POLL_INTERVAL = 0.2
"""Seconds between two polls for grown feeds, which a request may follow for hours."""
RETRY_INTERVAL = 1.0
"""Seconds to wait additionally after a failed poll."""


class ChangeSource(Protocol):
    """Queries for the changes that waiters of this process wait for."""

    async def ended_turns(self, turn_ids: Collection[UUID]) -> set[UUID]:
        """Return the turns whose terminal event is stored."""
        ...

    async def feed_heads(self, user_ids: Collection[UUID]) -> Mapping[UUID, int]:
        """Return the newest feed position of each user."""
        ...


class ChangeNotifier:
    """Events that requests of this process wait on, by turn and by user."""

    def __init__(self) -> None:
        self._turns, self._feeds = _Waiters(), _Waiters()
        self._heads: dict[UUID, int] = {}

    def turn_ended(self, turn_id: UUID) -> None:
        """Wake the requests that wait for the turn."""
        self._turns.wake(turn_id)

    def feed_grew(self, user_id: UUID) -> None:
        """Wake the readers of the user's feed."""
        self._feeds.wake(user_id)

    @contextlib.contextmanager
    def watch_turn(self, turn_id: UUID) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the turn may have ended."""
        with self._turns.watch(turn_id) as event:
            yield event

    @contextlib.contextmanager
    def watch_feed(self, user_id: UUID) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the user's feed may have grown."""
        try:
            with self._feeds.watch(user_id) as event:
                yield event
        finally:
            if user_id not in self._feeds.keys:
                self._heads.pop(user_id, None)

    async def run(self, source: ChangeSource) -> None:
        """Poll while any request waits; runs until cancelled."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._turns.repeat(lambda: self.poll_turns(source), TURN_POLL_INTERVAL))
            loops.create_task(self._feeds.repeat(lambda: self.poll_feeds(source), FEED_POLL_INTERVAL))

    async def poll_turns(self, source: ChangeSource) -> None:
        """Query the source once, and wake the waiters whose turn has ended."""
        if self._turns.keys:
            for turn_id in await source.ended_turns(list(self._turns.keys)):
                self.turn_ended(turn_id)

    async def poll_feeds(self, source: ChangeSource) -> None:
        """Query the source once, and wake the waiters whose feed has changed."""
        if self._feeds.keys:
            for user_id, head in (await source.feed_heads(list(self._feeds.keys))).items():
                if self._heads.get(user_id) != head:
                    self._heads[user_id] = head
                    self.feed_grew(user_id)


class _Waiters:
    """The events of waiting requests by what they wait for, a turn or a user."""

    def __init__(self) -> None:
        self._events: dict[UUID, set[asyncio.Event]] = {}
        self._exist = asyncio.Event()

    @property
    def keys(self) -> Collection[UUID]:
        """What requests wait for."""
        return self._events.keys()

    def wake(self, key: UUID) -> None:
        """Wake the requests that wait for a turn or a user."""
        for event in self._events.get(key, ()):
            event.set()

    @contextlib.contextmanager
    def watch(self, key: UUID) -> Iterator[asyncio.Event]:
        """Yield an event that ``wake`` sets."""
        event = asyncio.Event()
        self._events.setdefault(key, set()).add(event)
        self._exist.set()
        try:
            yield event
        finally:
            self._events[key].discard(event)
            if not self._events[key]:
                del self._events[key]
            if not self._events:
                self._exist.clear()

    async def repeat(self, poll: Callable[[], Awaitable[None]], interval: float) -> None:
        """Call ``poll`` every ``interval`` seconds while any request waits; runs until cancelled."""
        while True:
            await self._exist.wait()
            await asyncio.sleep(interval)
            if not await run_step("poll for changes", poll):
                await asyncio.sleep(RETRY_INTERVAL)
