"""Queue in front of a connection pool: statements wait for their turn, and are refused when too many wait."""

import asyncio
from collections import deque
from typing import NamedTuple

from parley.errors import Overloaded
from parley.process.client_counts import ClientCounts
from parley.process.current_user import current_user
from parley.process.timeouts import at_most

MAX_WAITING = 1_000
"""Statements of one process that wait for a connection."""
MAX_WAITING_OF_USER = 250
"""Those of one user."""
QUEUE_TIMEOUT = 10.0
"""Seconds that a statement waits for a connection."""
OVERLOAD_TIMEOUT = 1.0
"""The same, once no slot has been free for ``QUEUE_TIMEOUT``: the load is too high, and longer waits do not help."""
BACKGROUND_SHARE = 5
"""One connection of so many, and at least one, is for work that does not queue, such as the renewal of a lease."""
USER_SHARE = 2
"""One slot of so many, and at least one, is the most that one user has: many requests of a user do not stop others."""


class _Waiter(NamedTuple):
    user: str | None
    slot: "asyncio.Future[None]"


class ConnectionQueue:
    """Slots for statements of requests, fewer than the pool has connections.

    Background work takes connections without a slot, so that a burst of requests does not delay it. A free slot goes
    to a user who has the fewest. Work of the services themselves, for any number of users, may have every slot.

    A burst waits; a load that stays too high is refused early. Otherwise, every request would wait for the whole
    time limit, those that are refused too.
    """

    def __init__(self, pool_size: int, *, max_waiting: int = MAX_WAITING, timeout: float = QUEUE_TIMEOUT) -> None:
        """``timeout`` is the maximum wait in seconds."""
        self._free = max(1, pool_size - max(1, pool_size // BACKGROUND_SHARE))
        self._most_of_user = max(1, self._free // USER_SHARE)
        self._max_waiting, self._timeout = max_waiting, timeout
        self._full_since: float | None = None
        self._urgent: deque[_Waiter] = deque()
        self._waiting: deque[_Waiter] = deque()
        self._held, self._waiting_of = ClientCounts(), ClientCounts()

    async def acquire(self, *, urgent: bool = False) -> str | None:
        """Take a slot, and return the user to whom it is lent, for ``release``.

        ``urgent`` statements go first, always queue, and are nobody's. Raise Overloaded after a wait that is too long,
        or at once if too many statements wait, of all users or of this one.
        """
        user = None if urgent else current_user()
        if self._free and self._held_by(user) < self._most_of_user:
            self._take(user)
            return user
        if not urgent and self._is_full_for(user):
            raise Overloaded
        waiter = _Waiter(user, asyncio.get_running_loop().create_future())
        queue = self._urgent if urgent else self._waiting
        queue.append(waiter)
        if user is not None:
            self._waiting_of.add(user)
        try:
            async with at_most(self._timeout if urgent else self._patience()):
                await waiter.slot
        except BaseException:
            self._leave(queue, waiter)
            raise
        finally:
            if user is not None:
                self._waiting_of.subtract(user)
        if waiter.slot.cancelled():
            self._leave(queue, waiter)
            raise Overloaded
        return user

    def release(self, user: str | None = None) -> None:
        """Give the slot of a user to the next statement that may have it."""
        self._free += 1
        if user is not None:
            self._held.subtract(user)
        for queue in (self._urgent, self._waiting):
            waiter = self._next(queue)
            if waiter is not None:
                queue.remove(waiter)
                self._take(waiter.user)
                waiter.slot.set_result(None)
                return
        self._full_since = None

    def _next(self, queue: "deque[_Waiter]") -> _Waiter | None:
        """Return the first statement of a user who has the fewest slots, if there is one that may have a slot."""
        found, fewest = None, self._most_of_user
        for waiter in queue:
            held = self._held_by(waiter.user)
            if held < fewest and not waiter.slot.done():
                found, fewest = waiter, held
                if not held:
                    break
        return found

    def _held_by(self, user: str | None) -> int:
        """Return the slots of a user; work of the services themselves counts as that of a user who has none."""
        return 0 if user is None else self._held.of(user)

    def _patience(self) -> float:
        """Return how many seconds a statement waits now."""
        if self._full_since is None or asyncio.get_running_loop().time() - self._full_since < self._timeout:
            return self._timeout
        return min(OVERLOAD_TIMEOUT, self._timeout)

    def _take(self, user: str | None) -> None:
        self._free -= 1
        if not self._free and self._full_since is None:
            self._full_since = asyncio.get_running_loop().time()
        if user is not None:
            self._held.add(user)

    def _is_full_for(self, user: str | None) -> bool:
        if user is not None and self._waiting_of.of(user) >= min(MAX_WAITING_OF_USER, self._max_waiting):
            return True
        return len(self._urgent) + len(self._waiting) >= self._max_waiting

    def _leave(self, queue: "deque[_Waiter]", waiter: _Waiter) -> None:
        """End a wait; a slot that was given meanwhile goes to the next statement."""
        if waiter.slot.done() and not waiter.slot.cancelled():
            self.release(waiter.user)
        elif waiter in queue:
            queue.remove(waiter)
