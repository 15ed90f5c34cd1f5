"""Open streams: limits per user and process, and their end on revocation and shutdown."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway.access.stream_leases import StreamLeases
from gateway.errors import StreamTerminated, TooManyStreams
from gateway.request import Caller
from gateway.spread_work import spread_over
from parley.errors import Overloaded
from parley.process.client_counts import ClientCounts
from parley.ratelimit.limiter import TokenSession
from parley.web.lifecycle import Lifecycle

REVOCATION_CHECK_INTERVAL = 1.0
"""Seconds in which the sessions of all open streams are checked once."""
FINAL_EVENT_TIMEOUT = 1.0
"""Seconds before the end of the drain timeout at which the remaining streams are ended."""
RETRY_AFTER_MS = 500

FindRevoked = Callable[[Sequence[TokenSession]], Awaitable[set[TokenSession]]]


@dataclass(eq=False, slots=True)
class OpenStream:
    """One open stream. ``end`` sends the final event and closes it."""

    session: TokenSession | None
    endless: bool
    end: Callable[[StreamTerminated], None]


class OpenStreams:
    """All open streams of this process."""

    def __init__(self, find_revoked: FindRevoked, leases: StreamLeases, *, limit: int) -> None:
        """``find_revoked`` returns the revoked ones of sessions. ``limit`` applies to this process."""
        self._find_revoked, self._leases, self._limit = find_revoked, leases, limit
        self._per_user = ClientCounts()
        self._reserved = 0
        self._open: set[OpenStream] = set()

    @property
    def count(self) -> int:
        """Number of open streams."""
        return len(self._open)

    @contextlib.asynccontextmanager
    async def reserve(self, caller: Caller | None) -> AsyncIterator[None]:
        """Reserve a stream in this process and, with a caller, of the user. Raise TooManyStreams or Overloaded."""
        if self._reserved >= self._limit:
            raise Overloaded
        self._reserved += 1
        try:
            if caller is None:
                yield
            else:
                async with self.reserve_for(caller):
                    yield
        finally:
            self._reserved -= 1

    @contextlib.asynccontextmanager
    async def reserve_for(self, caller: Caller) -> AsyncIterator[None]:
        """Reserve a stream of the user, over all processes. Raise TooManyStreams."""
        user, limit = caller.user, caller.max_streams
        if self._per_user.of(user) >= limit:
            raise TooManyStreams(limit)
        with self._per_user.counted(user):
            token = await self._leases.acquire(user, limit)
            if token is None:
                raise TooManyStreams(limit)
            try:
                yield
            finally:
                await self._leases.release(token)

    @contextlib.contextmanager
    def watch(self, stream: OpenStream) -> Iterator[None]:
        """Keep a stream among the open ones, so that revocation and shutdown end it."""
        self._open.add(stream)
        try:
            yield
        finally:
            self._open.discard(stream)

    async def end_revoked(self) -> None:
        """End streams whose session was revoked. Runs forever."""
        while True:
            # A session can have tokens issued before and after a change that voids the earlier ones.
            sessions = {stream.session for stream in self._open if stream.session}
            async for batch in spread_over(REVOCATION_CHECK_INTERVAL, list(sessions)):
                revoked = await self._find_revoked(batch)
                if revoked:
                    found = [stream for stream in self._open if stream.session in revoked]
                    _end(found, StreamTerminated("session_revoked", {}))

    async def end_on_shutdown(self, lifecycle: Lifecycle, *, delay: float, timeout: float) -> None:
        """On shutdown, end endless streams after ``delay`` seconds, and all others shortly before ``timeout``."""
        await lifecycle.drain_started.wait()
        draining = StreamTerminated("draining", {"retry_after_ms": RETRY_AFTER_MS})
        await asyncio.sleep(delay)
        _end((s for s in list(self._open) if s.endless), draining)
        await asyncio.sleep(max(0.0, timeout - FINAL_EVENT_TIMEOUT))
        while True:
            _end(list(self._open), draining)
            await asyncio.sleep(0.1)


def _end(streams: Iterable[OpenStream], reason: StreamTerminated) -> None:
    for stream in streams:
        stream.end(reason)
