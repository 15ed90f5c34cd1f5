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

from parley.process.locks import KeyedLocks

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
        self._slots = KeyedLocks(lambda: asyncio.Semaphore(MAX_NAMES))
        """Lookups of each user."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host."""
        slots = self._slots.of(_owner.get())
        await slots.acquire()
        running = self._threads.submit(self._lookup, host, port, family, socket.SOCK_STREAM)
        running.add_done_callback(_releaser(slots))
        return [
            ResolveResult(
                hostname=host, host=str(peer[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, peer in await asyncio.wrap_future(running)
        ]

    async def close(self) -> None:
        """Stop the threads without waiting for names that are being resolved."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _releaser(slots: asyncio.Semaphore) -> Callable[[Future[Any]], None]:
    loop = asyncio.get_running_loop()

    def done(_running: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: a name was slower than the process
            loop.call_soon_threadsafe(slots.release)

    return done
