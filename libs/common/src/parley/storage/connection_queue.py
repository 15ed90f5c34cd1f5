"""Queue in front of a connection pool: statements wait in order of arrival, and are refused when too many wait."""

import asyncio
from collections import deque

from parley.errors import Overloaded
from parley.process.timeouts import at_most

MAX_WAITING = 1_000
"""Statements of one process that wait for a connection."""
QUEUE_TIMEOUT = 10.0
"""Seconds that a statement waits for a connection."""
BACKGROUND_SHARE = 5
"""One connection of so many, and at least one, is for work that does not queue, such as the renewal of a lease."""


class ConnectionQueue:
    """Slots for statements of requests, fewer than the pool has connections.

    Background work takes connections without a slot, so that a burst of requests does not delay it.
    """

    def __init__(self, pool_size: int, *, max_waiting: int = MAX_WAITING, timeout: float = QUEUE_TIMEOUT) -> None:
        """``timeout`` is the maximum wait in seconds."""
        self._free = max(1, pool_size - max(1, pool_size // BACKGROUND_SHARE))
        self._max_waiting, self._timeout = max_waiting, timeout
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self, *, urgent: bool = False) -> None:
        """Take a slot; ``urgent`` statements go first and always queue.

        Raise Overloaded after a wait that is too long, or at once if too many statements wait.
        """
        if self._free:
            self._free -= 1
            return
        if len(self._urgent) + len(self._waiting) >= self._max_waiting and not urgent:
            raise Overloaded
        slot = asyncio.get_running_loop().create_future()
        queue = self._urgent if urgent else self._waiting
        queue.append(slot)
        try:
            async with at_most(self._timeout):
                await slot
        except BaseException:
            self._leave(queue, slot)
            raise
        if slot.cancelled():
            self._leave(queue, slot)
            raise Overloaded

    def release(self) -> None:
        """Give a slot to the next statement."""
        for queue in (self._urgent, self._waiting):
            while queue:
                slot = queue.popleft()
                if not slot.done():
                    slot.set_result(None)
                    return
        self._free += 1

    def _leave(self, queue: deque[asyncio.Future[None]], slot: asyncio.Future[None]) -> None:
        """End a wait; a slot that was given meanwhile goes to the next statement."""
        if slot.done() and not slot.cancelled():
            self.release()
        elif slot in queue:
            queue.remove(slot)
