"""Locks by key, and waits for a lock that end."""

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from parley.errors import Overloaded
from parley.process.timeouts import at_most

L = TypeVar("L", asyncio.Lock, asyncio.Semaphore)


class KeyedLocks(Generic[L]):
    """A lock for each key, such as a user. It exists while somebody holds it or waits for it."""

    def __init__(self, make: Callable[[], L]) -> None:
        """``make`` returns a new lock or semaphore."""
        self._make: Callable[[], L] = make
        self._locks: weakref.WeakValueDictionary[Hashable, L] = weakref.WeakValueDictionary()

    def of(self, key: Hashable) -> L:
        """Return the lock of a key. Keep a reference to it until it is released."""
        return self._locks.setdefault(key, self._make())

    def __len__(self) -> int:
        """Return the number of keys whose lock is in use."""
        return len(self._locks)


@contextlib.asynccontextmanager
async def held_within(seconds: float, lock: AbstractAsyncContextManager[object], refusal: str) -> AsyncIterator[None]:
    """Hold a lock or slot while the context is open; raises Overloaded with the ``refusal`` if none is free in time."""
    async with contextlib.AsyncExitStack() as stack:
        async with at_most(seconds) as wait:
            await stack.enter_async_context(lock)
        if wait.expired:
            raise Overloaded(refusal)
        yield
