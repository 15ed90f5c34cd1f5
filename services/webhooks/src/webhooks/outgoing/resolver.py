"""Names of receivers, resolved in threads of which one user gets a share."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, NamedTuple
from uuid import UUID

from aiohttp.abc import AbstractResolver, ResolveResult

from parley.process.fair_slots import FairSlots

RESOLVER_THREADS = 32
"""Names that are resolved at once."""
MAX_NAMES = 2
"""Those of one user: slow name servers of a few users must not stop the names of the others."""

_owner: ContextVar[UUID | None] = ContextVar("owner of a webhook", default=None)


class _Question(NamedTuple):
    """What a user's request needs to know."""

    owner: UUID | None
    host: str
    port: int
    family: socket.AddressFamily


@contextlib.contextmanager
def names_of(owner: UUID) -> Iterator[None]:
    """Count the names that are resolved inside the context as those of a user."""
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


class PooledResolver(AbstractResolver):
    """Resolves names in threads of its own, which users get in turns.

    A thread is busy until the name server answers, also when nobody waits for the answer any more. Requests of a user
    that need the same name wait for the same lookup, so that one slow name occupies one thread.
    """

    def __init__(self, lookup: Callable[..., Any] | None = None) -> None:
        """``lookup`` has the interface of ``getaddrinfo``."""
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, "webhook-names")
        self._lookup = lookup or socket.getaddrinfo
        self._slots = FairSlots(RESOLVER_THREADS, MAX_NAMES)
        self._running: dict[_Question, asyncio.Task[Sequence[Any]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host."""
        question = _Question(_owner.get(), host, port, family)
        running = self._running.get(question)
        if running is None:
            running = self._running[question] = asyncio.create_task(self._ask(question), name=f"name {host}")
            running.add_done_callback(lambda _: self._running.pop(question))
        return [
            ResolveResult(
                hostname=host, host=str(peer[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, peer in await asyncio.shield(running)
        ]

    async def _ask(self, question: _Question) -> Sequence[Any]:
        await self._slots.acquire(question.owner)
        answer = self._threads.submit(self._lookup, question.host, question.port, question.family, socket.SOCK_STREAM)
        loop = asyncio.get_running_loop()

        def release(_answer: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: a name was slower than the process
                loop.call_soon_threadsafe(self._slots.release, question.owner)

        answer.add_done_callback(release)
        found: Sequence[Any] = await asyncio.wrap_future(answer)
        return found

    async def close(self) -> None:
        """Stop the threads without waiting for names that are being resolved."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
