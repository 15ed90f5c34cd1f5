"""Limit of the images that the prompts of a process hold in memory."""

import asyncio
from collections import Counter, deque
from collections.abc import Hashable


class ImageMemory:
    """Bytes that are lent to the prompts of each user in turn. One user holds a part of them only.

    A large prompt is not overtaken, except by those of other users while its own user holds too much.
    """

    def __init__(self, limit: int, limit_of_user: int) -> None:
        self._free, self._limit_of_user = limit, limit_of_user
        self._held = Counter[Hashable]()
        self._waiting: dict[Hashable, deque[tuple[int, asyncio.Future[None]]]] = {}

    async def acquire(self, user: Hashable, size: int) -> None:
        """Wait until ``size`` bytes are free for a user, and take them. ``size`` is at most the limit of a user."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append((size, mine))
        self._lend()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.release(user, size)
            else:
                self._lend()
            raise

    def release(self, user: Hashable, size: int) -> None:
        """Return bytes."""
        self._free += size
        self._held[user] -= size
        if not self._held[user]:
            del self._held[user]
        self._lend()

    def _lend(self) -> None:
        while self._lend_once():
            pass

    def _lend_once(self) -> bool:
        """Lend to the first prompt whose user may have more; False if there is none, or if it does not fit yet."""
        for user, prompts in list(self._waiting.items()):
            while prompts and prompts[0][1].done():  # cancelled
                prompts.popleft()
            if not prompts:
                del self._waiting[user]
                continue
            size, waiting = prompts[0]
            if self._held[user] + size > self._limit_of_user:
                continue
            if size > self._free:
                return False
            prompts.popleft()
            self._free -= size
            self._held[user] += size
            self._waiting[user] = self._waiting.pop(user)  # last now
            waiting.set_result(None)
            return True
        return False
