"""Password hashing with argon2id in a bounded thread pool, so that logins block neither the event loop nor memory."""

import asyncio
import contextlib
import os
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from passlib.context import CryptContext

from auth.security.password_policy import normalise
from parley.process.client_slots import ClientSlots
from parley.process.fair_slots import FairSlots

T = TypeVar("T")
BCRYPT_MAX_BYTES = 72
"""bcrypt ignores further bytes, so imported hashes cover no more of a password."""
TOO_MANY_LOGINS = "Too many logins are waiting for a password check."
RETRY_AFTER = 2
CLIENT_SHARE = 2
"""A client may take the places of the queue divided by this number."""
THREAD_NICENESS = 5


@dataclass(frozen=True, slots=True)
class HashCost:
    """The argon2id parameters of new hashes; the defaults are OWASP's minimum."""

    memory_kib: int = 19_456
    iterations: int = 2
    parallelism: int = 1


def default_workers() -> int:
    """Return how many hashes run at once: one per core, except the core of the event loop."""
    return max(1, (os.cpu_count() or 2) - 1)


class PasswordHasher:
    """Hashes and verifies passwords in ``workers`` threads; at most ``queue`` callers wait for one.

    Clients get the threads in turns, and each may take half of the queue, so that one with many logins does not hold up
    the others. The work of this process itself has no client.
    """

    def __init__(self, *, workers: int, queue: int, cost: HashCost | None = None) -> None:
        cost = cost or HashCost()
        self._context = CryptContext(
            schemes=["argon2", "bcrypt"],
            deprecated=["bcrypt"],
            argon2__type="ID",
            argon2__memory_cost=cost.memory_kib,
            argon2__rounds=cost.iterations,
            argon2__parallelism=cost.parallelism,
        )
        self._executor = ThreadPoolExecutor(workers, "argon2", _lower_priority)
        self._slots = FairSlots(workers)
        of_client = max(1, queue // CLIENT_SHARE)
        self._queue = ClientSlots(queue, of_client, TOO_MANY_LOGINS, retry_after=RETRY_AFTER)
        self._dummy: str | None = None

    @contextlib.asynccontextmanager
    async def slot(self, client: str | None = None) -> AsyncIterator["HashSlot"]:
        """Reserve one thread for the caller; raises Overloaded if too many callers wait, of all or of this client."""
        with self._queue.take(client):
            await self._slots.acquire(client)
        slot = HashSlot(self._context, self._executor)
        try:
            yield slot
        finally:
            # A cancelled caller does not free the thread that its hash still occupies.
            slot.when_idle(lambda: self._slots.release(client))

    async def hash(self, password: str, *, client: str | None = None) -> str:
        """Return the hash of a new password; raises Overloaded."""
        async with self.slot(client) as slot:
            return await slot.hash(password)

    async def verify(self, password: str, stored: str) -> bool:
        """Return whether a password matches a stored hash; raises Overloaded."""
        async with self.slot() as slot:
            return await slot.verify(password, stored)

    async def dummy(self) -> str:
        """Return a hash that no password matches, to make logins of unknown accounts take as long as others."""
        if self._dummy is None:
            self._dummy = await self.hash(secrets.token_urlsafe(32))
        return self._dummy

    def is_outdated(self, stored: str) -> bool:
        """Return whether a hash was made with another algorithm or other parameters."""
        return bool(self._context.needs_update(stored))

    def close(self) -> None:
        """Finish running hashes and stop the threads."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _lower_priority() -> None:
    """Give the event loop priority over hashing: a hash can wait, a stream cannot."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), THREAD_NICENESS)


class HashSlot:
    """One thread of the pool, reserved for one caller."""

    def __init__(self, context: CryptContext, executor: ThreadPoolExecutor) -> None:
        self._context, self._executor = context, executor
        self._running: asyncio.Future[object] | None = None

    async def hash(self, password: str) -> str:
        """Return the hash of a new password; raises ValueError if it is too long."""
        return await self._run(lambda: str(self._context.hash(normalise(password))))

    async def verify(self, password: str, stored: str) -> bool:
        """Return whether a password matches a stored hash; an unreadable hash matches nothing."""
        return await self._run(lambda: self._matches(password, stored))

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the thread of this slot is free."""
        if self._running is None or self._running.done():
            callback()
        else:
            self._running.add_done_callback(lambda _: callback())

    def _run(self, work: Callable[[], T]) -> Awaitable[T]:
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        self._running = future  # type: ignore[assignment]  # the result is only awaited, never read here
        return asyncio.shield(future)

    def _matches(self, password: str, stored: str) -> bool:
        try:
            if self._context.identify(stored) == "bcrypt":
                return bool(self._context.verify(password.encode()[:BCRYPT_MAX_BYTES], stored))
            return bool(self._context.verify(normalise(password), stored))
        except (ValueError, TypeError):
            return False
