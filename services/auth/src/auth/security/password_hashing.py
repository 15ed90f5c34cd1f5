"""Password hashes: argon2id in a bounded pool of threads, so that log-ins neither stall the loop nor eat the memory."""

import asyncio
import contextlib
import os
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from passlib.context import CryptContext

from auth.security.password_policy import normalise
from parley.errors import Overloaded

T = TypeVar("T")
BCRYPT_BYTES = 72
"""bcrypt reads no more of a password; whoever made an imported hash cut the rest off."""
BUSY_RETRY = 2
NICE = 5


@dataclass(frozen=True, slots=True)
class HashCost:
    """What a new hash costs: by default OWASP's least for argon2id, 19 MiB, two passes, one lane."""

    memory_kib: int = 19_456
    passes: int = 2
    lanes: int = 1


def default_workers() -> int:
    """Return how many hashes may run at once: all cores but one, which is the event loop's."""
    return max(1, (os.cpu_count() or 2) - 1)


class PasswordHasher:
    """Hashes and verifies off the loop; more than ``queue`` callers waiting are told that we are overloaded."""

    def __init__(self, *, workers: int, queue: int, cost: HashCost | None = None) -> None:
        """Take how many hashes run at once, how many callers may wait, and what a hash costs."""
        cost = cost or HashCost()
        self._context = CryptContext(
            schemes=["argon2", "bcrypt"],
            deprecated=["bcrypt"],
            argon2__type="ID",
            argon2__memory_cost=cost.memory_kib,
            argon2__rounds=cost.passes,
            argon2__parallelism=cost.lanes,
        )
        self._executor = ThreadPoolExecutor(workers, "argon2", _step_back)
        self._slots = asyncio.Semaphore(workers)
        self._waiting, self._queue = 0, queue
        self._dummy: str | None = None

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator["HashSlot"]:
        """Wait for a turn; inside it exactly one thread is the caller's. Raises Overloaded."""
        with self._place_in_queue():
            await self._slots.acquire()
        slot = HashSlot(self._context, self._executor)
        try:
            yield slot
        finally:
            # A caller who went away does not free the thread its hash still occupies.
            slot.when_idle(self._slots.release)

    async def hash(self, password: str) -> str:
        """Return the hash of a new password."""
        async with self.slot() as slot:
            return await slot.hash(password)

    async def verify(self, password: str, stored: str) -> bool:
        """Say whether a password is the one that was hashed."""
        async with self.slot() as slot:
            return await slot.verify(password, stored)

    async def dummy(self) -> str:
        """Return a hash that nobody's password has: verified when there is no such user, so that both take as long."""
        if self._dummy is None:
            self._dummy = await self.hash(secrets.token_urlsafe(32))
        return self._dummy

    def outdated(self, stored: str) -> bool:
        """Say whether a hash should be made anew with today's parameters."""
        return bool(self._context.needs_update(stored))

    def close(self) -> None:
        """Let running hashes end and stop the threads."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    @contextlib.contextmanager
    def _place_in_queue(self) -> Iterator[None]:
        if self._waiting >= self._queue:
            raise Overloaded("Too many log-ins at once.", retry_after=BUSY_RETRY)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


def _step_back() -> None:
    """Let the event loop have the processor first when there is not enough of it: a hash can wait, a stream cannot."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class HashSlot:
    """One caller's turn in the pool."""

    def __init__(self, context: CryptContext, executor: ThreadPoolExecutor) -> None:
        """Take the hash functions and the threads."""
        self._context, self._executor = context, executor
        self._running: asyncio.Future[object] | None = None

    async def hash(self, password: str) -> str:
        """Return the hash of a new password."""
        return await self._run(lambda: str(self._context.hash(normalise(password))))

    async def verify(self, password: str, stored: str) -> bool:
        """Say whether a password is the one that was hashed; a hash that cannot be read verifies nothing."""
        return await self._run(lambda: self._matches(password, stored))

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back once no thread works for this slot."""
        if self._running is None or self._running.done():
            callback()
        else:
            self._running.add_done_callback(lambda _: callback())

    def _run(self, work: Callable[[], T]) -> Awaitable[T]:
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        self._running = future  # type: ignore[assignment]  # its result is only awaited, never read here
        return asyncio.shield(future)

    def _matches(self, password: str, stored: str) -> bool:
        try:
            if self._context.identify(stored) == "bcrypt":
                return bool(self._context.verify(password.encode()[:BCRYPT_BYTES], stored))
            return bool(self._context.verify(normalise(password), stored))
        except (ValueError, TypeError):
            return False
