"""Lock that users get in turns."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from uuid import UUID


class FairLock:
    """A lock that goes to another user after each release, so that the queue of one user does not hold up the others.

    Waiting users get it in the order in which they came, and stand last again when they had it.
    """

    def __init__(self) -> None:
        self._held = False
        self._waiting: dict[UUID, deque[asyncio.Future[None]]] = {}

    @contextlib.asynccontextmanager
    async def hold(self, user_id: UUID) -> AsyncIterator[None]:
        """Hold the lock while the context is open."""
        await self._acquire(user_id)
        try:
            yield
        finally:
            self._release(user_id)

    async def _acquire(self, user_id: UUID) -> None:
        if not self._held:
            self._held = True
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user_id, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._release(user_id)
            raise

    def _release(self, user_id: UUID) -> None:
        """Give the lock to the next one who still waits."""
        if user_id in self._waiting:
            self._waiting[user_id] = self._waiting.pop(user_id)  # last now
        while self._waiting:
            other = next(iter(self._waiting))
            first = self._waiting[other].popleft()
            if not self._waiting[other]:
                del self._waiting[other]
            if not first.done():
                first.set_result(None)
                return
        self._held = False
