"""Requests that wait for a slot of a service."""

import asyncio
import contextlib
from collections import deque

from parley.errors import Overloaded
from parley.process.timeouts import at_most

TIMEOUT = 1.0
"""Seconds that a request waits."""


class SlotQueue:
    """A queue of at most ``size`` requests, admitted in the order of their arrival."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Wait for a slot. Raise Overloaded if the queue is full, or after ``TIMEOUT``."""
        if len(self._waiting) >= self._size:
            raise Overloaded
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        admitted = False
        try:
            async with at_most(TIMEOUT):
                await waiter
                admitted = True
        finally:
            if not admitted:
                self._leave(waiter)
        if not admitted:
            raise Overloaded

    def admit_next(self) -> None:
        """Give a slot that is free to the next request, if one waits."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _leave(self, waiter: asyncio.Future[None]) -> None:
        if waiter.cancelled():
            with contextlib.suppress(ValueError):  # ``admit_next`` has passed over it
                self._waiting.remove(waiter)
        else:
            self.admit_next()  # it got a slot in the moment in which it gave up
