"""Failed login counts: their interface, and the in-memory implementation for when Redis is unavailable."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cachetools import LRUCache

MEMORY_CAPACITY = 50_000


@dataclass(frozen=True, slots=True)
class FailureCount:
    """The number of recent failed logins, and the seconds since the last one."""

    count: int = 0
    age: float = 0.0


class FailureCounter(Protocol):
    """Counts of failed logins that expire by themselves."""

    async def read(self, keys: Sequence[str]) -> list[FailureCount]:
        """Return the count of each key; raises DependencyUnavailable."""
        ...

    async def add(self, keys: Sequence[str], window: int) -> None:
        """Add one failure to each key; a count expires ``window`` seconds after its last failure."""
        ...

    async def clear(self, key: str) -> None:
        """Delete the count of a key."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry:
    count: int
    last_at: float
    expires_at: float


class MemoryFailureCounter:
    """Counts failed logins in this process, for the ``capacity`` most recent keys."""

    def __init__(self, *, capacity: int = MEMORY_CAPACITY, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: LRUCache[str, _Entry] = LRUCache(capacity)

    def __len__(self) -> int:
        return len(self._entries)

    async def read(self, keys: Sequence[str]) -> list[FailureCount]:
        return [self._count(key) for key in keys]

    async def add(self, keys: Sequence[str], window: int) -> None:
        now = self._clock()
        for key in keys:
            self._entries[key] = _Entry(self._count(key).count + 1, now, now + window)

    async def clear(self, key: str) -> None:
        self._entries.pop(key, None)

    def _count(self, key: str) -> FailureCount:
        entry = self._entries.get(key)
        now = self._clock()
        if entry is None or entry.expires_at <= now:
            return FailureCount()
        return FailureCount(entry.count, now - entry.last_at)
