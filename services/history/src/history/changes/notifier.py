"""Waiting for what is stored: woken at once by this process, within a poll by any other.

One query for each poll answers everybody who waits in this process; nobody waiting, no query.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol
from uuid import UUID

POLL = 0.2
"""Seconds between two looks at what other processes have stored."""


class Lookout(Protocol):
    """What the poll asks the database."""

    async def ended_turns(self, turn_ids: Collection[UUID]) -> set[UUID]:
        """Return those of the turns that are stored and ended."""
        ...

    async def feed_heads(self, user_ids: Collection[UUID]) -> Mapping[UUID, int]:
        """Return the newest position in each person's feed."""
        ...


class Changes:
    """Who waits here for the end of a turn, or for news in a person's feed."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._turns: dict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._people: dict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._heads: dict[UUID, int] = {}
        self._awaited = asyncio.Event()

    def turn_ended(self, turn_id: UUID) -> None:
        """Wake who waits for the turn."""
        for event in self._turns.get(turn_id, ()):
            event.set()

    def feed_grew(self, user_id: UUID) -> None:
        """Wake who reads the person's feed."""
        for event in self._people.get(user_id, ()):
            event.set()

    @contextlib.contextmanager
    def watch_turn(self, turn_id: UUID) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the turn may have ended."""
        with self._watch(self._turns, turn_id) as event:
            yield event

    @contextlib.contextmanager
    def watch_feed(self, user_id: UUID) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the person's feed may have grown."""
        with self._watch(self._people, user_id) as event:
            yield event
        if user_id not in self._people:
            self._heads.pop(user_id, None)

    async def poll(self, lookout: Lookout) -> None:
        """Look for what other processes store, for as long as somebody waits; never returns by itself."""
        while True:
            await self._awaited.wait()
            await asyncio.sleep(POLL)
            await self.look(lookout)

    async def look(self, lookout: Lookout) -> None:
        """Look once."""
        if self._turns:
            for turn_id in await lookout.ended_turns(list(self._turns)):
                self.turn_ended(turn_id)
        if self._people:
            for user_id, head in (await lookout.feed_heads(list(self._people))).items():
                if self._heads.get(user_id) != head:
                    self._heads[user_id] = head
                    self.feed_grew(user_id)

    @contextlib.contextmanager
    def _watch(self, waiting: dict[UUID, set[asyncio.Event]], key: UUID) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        waiting[key].add(event)
        self._awaited.set()
        try:
            yield event
        finally:
            waiting[key].discard(event)
            if not waiting[key]:
                del waiting[key]
            if not self._turns and not self._people:
                self._awaited.clear()
