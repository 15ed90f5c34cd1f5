"""Change notifier: wakes waiting requests when a turn ends or a user's feed grows.

Changes made by this process wake their waiters at once. Changes made by other processes are found by polling: one query
per interval for all waiters of this process, and none while no request waits.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol
from uuid import UUID

from parley.process.loop_steps import run_step

POLL_INTERVAL = 0.2
"""Seconds between two polls for changes made by other processes."""
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
        self._turns: dict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._feeds: dict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._heads: dict[UUID, int] = {}
        self._has_waiters = asyncio.Event()

    def turn_ended(self, turn_id: UUID) -> None:
        """Wake the requests that wait for the turn."""
        for event in self._turns.get(turn_id, ()):
            event.set()

    def feed_grew(self, user_id: UUID) -> None:
        """Wake the readers of the user's feed."""
        for event in self._feeds.get(user_id, ()):
            event.set()

    @contextlib.contextmanager
    def watch_turn(self, turn_id: UUID) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the turn may have ended."""
        with self._watch(self._turns, turn_id) as event:
            yield event

    @contextlib.contextmanager
    def watch_feed(self, user_id: UUID) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the user's feed may have grown."""
        try:
            with self._watch(self._feeds, user_id) as event:
                yield event
        finally:
            if user_id not in self._feeds:
                self._heads.pop(user_id, None)

    async def run(self, source: ChangeSource) -> None:
        """Poll while any request waits; runs until cancelled."""
        while True:
            await self._has_waiters.wait()
            await asyncio.sleep(POLL_INTERVAL)
            if not await run_step("poll for changes", lambda: self.poll(source)):
                await asyncio.sleep(RETRY_INTERVAL)

    async def poll(self, source: ChangeSource) -> None:
        """Query the source once and wake the waiters whose turn or feed has changed."""
        if self._turns:
            for turn_id in await source.ended_turns(list(self._turns)):
                self.turn_ended(turn_id)
        if self._feeds:
            for user_id, head in (await source.feed_heads(list(self._feeds))).items():
                if self._heads.get(user_id) != head:
                    self._heads[user_id] = head
                    self.feed_grew(user_id)

    @contextlib.contextmanager
    def _watch(self, waiting: dict[UUID, set[asyncio.Event]], key: UUID) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        waiting[key].add(event)
        self._has_waiters.set()
        try:
            yield event
        finally:
            waiting[key].discard(event)
            if not waiting[key]:
                del waiting[key]
            if not self._turns and not self._feeds:
                self._has_waiters.clear()
