"""Streams that are open: how many a user has, whose session has ended, and the goodbye when the process drains."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from gateway.access.stream_leases import Places, portions
from gateway.errors import Interrupted, TooManyStreams
from gateway.request import Caller
from parley.errors import Overloaded
from parley.ratelimit.limiter import TokenSession
from parley.web.lifecycle import Lifecycle

log = structlog.get_logger()

RECHECK = 1.0
"""Seconds in which the sessions of all open streams are looked at, some at a time."""
LAST_WORDS = 1.0
"""Seconds before the drain budget's end at which the streams that are left are ended."""
RETRY_AFTER_MS = 500

FindRevoked = Callable[[Sequence[TokenSession]], Awaitable[set[str]]]


@dataclass(eq=False, slots=True)
class Stream:
    """One open stream; ``end`` makes it say why and close."""

    session: TokenSession | None
    endless: bool
    end: Callable[[Interrupted], None]


class Streams:
    """All open streams of this process."""

    def __init__(self, find_revoked: FindRevoked, places: Places, *, most: int) -> None:
        """Take what finds the revoked among sessions, the users' places, and how many streams may be open here."""
        self._find_revoked, self._places, self._most = find_revoked, places, most
        self._held: Counter[str] = Counter()
        self._total = 0
        self._open: set[Stream] = set()

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    @contextlib.asynccontextmanager
    async def hold(self, caller: Caller | None) -> AsyncIterator[None]:
        """Take one of the user's places; raises TooManyStreams or Overloaded."""
        if self._total >= self._most:
            raise Overloaded
        self._total += 1
        try:
            if caller is None:
                yield
            else:
                async with self.place(caller):
                    yield
        finally:
            self._total -= 1

    @contextlib.asynccontextmanager
    async def place(self, caller: Caller) -> AsyncIterator[None]:
        """Take one of the user's places, here and over all processes; raises TooManyStreams."""
        user, most = caller.user, caller.plan.streams
        if self._held[user] >= most:
            raise TooManyStreams(most)
        self._held[user] += 1
        try:
            token = await self._places.take(user, most)
            if token is None:
                raise TooManyStreams(most)
            try:
                yield
            finally:
                await self._places.give(token)
        finally:
            self._held[user] -= 1
            if not self._held[user]:
                del self._held[user]

    @contextlib.contextmanager
    def opened(self, stream: Stream) -> Iterator[None]:
        """Watch a stream while it is open."""
        self._open.add(stream)
        try:
            yield
        finally:
            self._open.discard(stream)

    async def watch_sessions(self) -> None:
        """End streams whose session was revoked, for ever."""
        while True:
            sessions = {s.session.session_id: s.session for s in self._open if s.session}
            for some in portions(list(sessions.values())):
                revoked = await self._find_revoked(some)
                if revoked:
                    found = [s for s in self._open if s.session and s.session.session_id in revoked]
                    _end(found, Interrupted("session_revoked", {}))
                await asyncio.sleep(RECHECK * len(some) / len(sessions))
            if not sessions:
                await asyncio.sleep(RECHECK)

    async def watch_drain(self, lifecycle: Lifecycle, *, delay: float, budget: float) -> None:
        """When the process drains: end endless streams, and near the end of the budget all others."""
        await lifecycle.drain_started.wait()
        goodbye = Interrupted("draining", {"retry_after_ms": RETRY_AFTER_MS})
        await asyncio.sleep(delay)
        _end((s for s in list(self._open) if s.endless), goodbye)
        await asyncio.sleep(max(0.0, budget - LAST_WORDS))
        while True:
            _end(list(self._open), goodbye)
            await asyncio.sleep(0.1)


def _end(streams: Iterable[Stream], reason: Interrupted) -> None:
    for stream in streams:
        stream.end(reason)
