"""Slots that clients get in turns."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Hashable

from parley.process.client_counts import ClientCounts


class FairSlots:
    """Slots that go to another client after each release, so that the queue of one does not hold up the others.

    Waiting clients get slots in the order in which they came, and stand last again when they had some. A call may take
    several, such as the bytes of what it loads. It is not overtaken while it waits for them, except by other clients
    while its own has as many as it may.
    """

    def __init__(self, slots: int = 1, of_client: int | None = None) -> None:
        """``of_client``: slots that one client holds at most. Default: all."""
        self._free, self._of_client = slots, slots if of_client is None else of_client
        self._held = ClientCounts()
        self._waiting: dict[Hashable, deque[tuple[int, asyncio.Future[None]]]] = {}

    @contextlib.asynccontextmanager
    async def hold(self, client: Hashable) -> AsyncIterator[None]:
        """Hold a slot while the context is open."""
        await self.acquire(client)
        try:
            yield
        finally:
            self.release(client)

    async def acquire(self, client: Hashable, slots: int = 1) -> None:
        """Wait for slots, and take them. For 0 slots, return at once.

        A call must not be for more slots than one client may hold.
        """
        if not slots:
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append((slots, mine))
        self._lend()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.release(client, slots)
            else:
                self._lend()
            raise

    def release(self, client: Hashable, slots: int = 1) -> None:
        """Give the slots of a client to the next ones who still wait."""
        self._free += slots
        self._held.subtract(client, slots)
        if client in self._waiting:
            self._waiting[client] = self._waiting.pop(client)  # last now
        self._lend()

    def _lend(self) -> None:
        while self._lend_once():
            pass

    def _lend_once(self) -> bool:
        """Lend to the first client that may have more; False if there is none, or if its slots are not free yet."""
        for client, calls in list(self._waiting.items()):
            while calls and calls[0][1].done():  # cancelled
                calls.popleft()
            if not calls:
                del self._waiting[client]
                continue
            slots, waiting = calls[0]
            if self._held.of(client) + slots > self._of_client:
                continue
            if slots > self._free:
                return False
            calls.popleft()
            self._free -= slots
            self._held.add(client, slots)
            self._waiting[client] = self._waiting.pop(client)  # last now
            waiting.set_result(None)
            return True
        return False
