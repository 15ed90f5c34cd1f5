"""Slots that clients get in turns."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Hashable


class FairSlots:
    """Slots that go to another client after each release, so that the queue of one does not hold up the others.

    Waiting clients get a slot in the order in which they came, and stand last again when they had one.
    """

    def __init__(self, slots: int = 1) -> None:
        self._free = slots
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @contextlib.asynccontextmanager
    async def hold(self, client: Hashable) -> AsyncIterator[None]:
        """Hold a slot while the context is open."""
        await self.acquire(client)
        try:
            yield
        finally:
            self.release(client)

    async def acquire(self, client: Hashable) -> None:
        """Wait for a slot, and take it."""
        if self._free:
            self._free -= 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.release(client)
            raise

    def release(self, client: Hashable) -> None:
        """Give the slot of a client to the next one who still waits."""
        if client in self._waiting:
            self._waiting[client] = self._waiting.pop(client)  # last now
        while self._waiting:
            other = next(iter(self._waiting))
            first = self._waiting[other].popleft()
            if self._waiting[other]:
                self._waiting[other] = self._waiting.pop(other)
            else:
                del self._waiting[other]
            if not first.done():
                first.set_result(None)
                return
        self._free += 1
