"""Idempotency store in Redis, for handlers whose effect is not in a database with transactions."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from parley_events.cloudevents import CloudEvent
from parley_events.consuming.failure_policy import HANDLER_TIMEOUT
from parley_events.stores import KEPT_FOR

RUNNING, DONE = b"running", b"done"
RUNNING_FOR = timedelta(seconds=2 * HANDLER_TIMEOUT)
"""How long a handler that was killed blocks its event: longer than any handler may run."""


class EventIsRunning(Exception):
    """Another process handles the event now, or was killed while it did. The event is tried again later."""


class RedisStore:
    """Remembers handled events, sequences and offsets in Redis.

    Redis has no transaction with the handler's effect: if the process is killed between the effect and the note, the
    event is handled again.
    """

    def __init__(self, redis: Any, *, prefix: str = "parley-events:", kept_for: timedelta = KEPT_FOR) -> None:
        """``redis`` is a client of redis.asyncio, with timeouts."""
        self._redis: Redis = redis
        self._prefix, self._kept_for = prefix, kept_for

    @contextlib.asynccontextmanager
    async def once(self, event: CloudEvent) -> AsyncIterator[Any]:
        """Yield the client, or None if the event was handled before. After an exception it may be handled again."""
        name = f"{self._prefix}event:{event.id}"
        if not await self._redis.set(name, RUNNING, nx=True, ex=RUNNING_FOR):
            if await self._redis.get(name) in {DONE, DONE.decode()}:
                yield None
                return
            raise EventIsRunning(f"The event {event.id} is handled elsewhere.")
        try:
            yield self._redis
        except BaseException:
            await self._redis.delete(name)
            raise
        await self._redis.set(name, DONE, ex=self._kept_for)

    async def last_sequence(self, source: str, key: str) -> int | None:
        """Return the last handled sequence of a source and key, or None."""
        return _number(await self._redis.get(f"{self._prefix}sequence:{source}:{key}"))

    async def save_sequence(self, source: str, key: str, sequence: int) -> None:
        """Keep a sequence, unless a higher one is kept already. One replica at a time handles a key."""
        kept = await self.last_sequence(source, key)
        if kept is None or kept < sequence:
            await self._redis.set(f"{self._prefix}sequence:{source}:{key}", sequence)

    async def load_offset(self, name: str) -> int | None:
        """Return the offset saved under a name, or None."""
        return _number(await self._redis.get(f"{self._prefix}offset:{name}"))

    async def save_offset(self, name: str, offset: int) -> None:
        """Save an offset."""
        await self._redis.set(f"{self._prefix}offset:{name}", offset)


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
