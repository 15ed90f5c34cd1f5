"""Limit of the images that the prompts of a process hold in memory."""

import asyncio


class ImageMemory:
    """Bytes that are lent to prompts, in the order in which they ask. A large prompt is not overtaken."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._queue, self._released = asyncio.Lock(), asyncio.Event()

    async def acquire(self, size: int) -> None:
        """Wait until ``size`` bytes are free, and take them. ``size`` is at most the limit."""
        async with self._queue:
            while size > self._free:
                self._released.clear()
                await self._released.wait()
            self._free -= size

    def release(self, size: int) -> None:
        """Return bytes."""
        self._free += size
        self._released.set()
