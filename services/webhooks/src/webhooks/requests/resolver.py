"""Names of receivers, resolved in threads of which one user gets a share."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from aiohttp.abc import AbstractResolver, ResolveResult

RESOLVER_THREADS = 32
"""Names that are resolved at once."""
MAX_NAMES = 8
"""Those of one user: a slow name server of one user must not stop the names of the others."""

_owner: ContextVar[UUID | None] = ContextVar("owner of a webhook", default=None)


@contextlib.contextmanager
def names_of(owner: UUID) -> Iterator[None]:
    """Count the names that are resolved inside the context as those of a user."""
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


class PooledResolver(AbstractResolver):
    """Resolves names in threads of its own.

    A thread is busy until the name server answers, also when nobody waits for the answer any more.
    """

    def __init__(self, lookup: Callable[..., Any] | None = None) -> None:
        """``lookup`` has the interface of ``getaddrinfo``."""
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, "webhook-names")
        self._lookup = lookup or socket.getaddrinfo
        self._slots: dict[UUID | None, asyncio.Semaphore] = {}
        self._users: dict[UUID | None, int] = {}
        """Lookups of each user that wait or run."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host."""
        owner = _owner.get()
        slots = self._slots.setdefault(owner, asyncio.Semaphore(MAX_NAMES))
        self._users[owner] = self._users.get(owner, 0) + 1
        try:
            await slots.acquire()
        except BaseException:
            self._leave(owner)
            raise
        running = self._threads.submit(self._lookup, host, port, family, socket.SOCK_STREAM)
        running.add_done_callback(self._releaser(owner, slots))
        return [
            ResolveResult(
                hostname=host, host=str(peer[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, peer in await asyncio.wrap_future(running)
        ]

    def _releaser(self, owner: UUID | None, slots: asyncio.Semaphore) -> Callable[[Future[Any]], None]:
        loop = asyncio.get_running_loop()

        def release() -> None:
            slots.release()
            self._leave(owner)

        def done(_running: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: a name was slower than the process
                loop.call_soon_threadsafe(release)

        return done

    def _leave(self, owner: UUID | None) -> None:
        self._users[owner] -= 1
        if not self._users[owner]:
            del self._users[owner], self._slots[owner]

    async def close(self) -> None:
        """Stop the threads without waiting for names that are being resolved."""
        self._threads.shutdown(wait=False, cancel_futures=True)
