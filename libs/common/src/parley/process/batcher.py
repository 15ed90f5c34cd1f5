"""Batches: what arrives while a call is open goes into the next call, together."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Generic, TypeVar

MAX_BATCH_SIZE = 128
"""Items in one call. It bounds how long a call blocks its server, such as Redis, for others."""
MAX_OPEN_CALLS = 1
"""Concurrent calls. Items that arrive during a call form the next batch."""
MAX_WAITING = 10_000

Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """Collects items, and sends them in batches."""

    def __init__(self, send: Callable[[list[Item]], Coroutine[None, None, None]]) -> None:
        """``send`` sends one batch, and must not raise."""
        self._send = send
        self._waiting: list[Item] = []
        self._open_calls: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def add(self, item: Item) -> bool:
        """Queue an item for the next batch; return False when the queue is full."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(item)
        if not self._scheduled:
            self._schedule()
        return True

    def take_waiting(self) -> list[Item]:
        """Remove and return the queued items."""
        waiting, self._waiting = self._waiting, []
        return waiting

    async def wait_sent(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for the open calls."""
        if self._open_calls:
            await asyncio.wait(self._open_calls, timeout=timeout)

    def _schedule(self) -> None:
        if not self._scheduled and len(self._open_calls) < MAX_OPEN_CALLS:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._send_next)

    def _send_next(self) -> None:
        self._scheduled = False
        batch, self._waiting = self._waiting[:MAX_BATCH_SIZE], self._waiting[MAX_BATCH_SIZE:]
        if not batch:
            return
        call = asyncio.get_running_loop().create_task(self._send(batch))
        self._open_calls.add(call)
        call.add_done_callback(self._finish)
        if self._waiting:
            self._schedule()

    def _finish(self, call: "asyncio.Task[None]") -> None:
        self._open_calls.discard(call)
        if self._waiting:
            self._schedule()
