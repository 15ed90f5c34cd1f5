"""Slots for uploads. A slow upload keeps its slot while no other client needs one."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable
from typing import Generic, TypeVar

from parley.errors import Overloaded
from parley.process.client_counts import ClientCounts
from parley.process.timeouts import WaitLimit, at_most

T = TypeVar("T")

MIN_BYTES_PER_SECOND = 131_072
"""Rate of an upload that keeps its slot while a client without one waits: 1 Mbit/s."""
MAX_DELAY = 5.0
"""Seconds by which an upload may be behind this rate. Nor is it ever counted as ahead, or behind, by more."""
MAX_WAITING = 256
"""Uploads of a process that wait for a slot. Their bodies are not read."""
SLOT_TIMEOUT = 10.0
"""Seconds in which an upload gets a slot. Longer than MAX_DELAY, so that it outlasts uploads that send nothing."""
CHECK_INTERVAL = 0.5
RETRY_AFTER = 10
TOO_SLOW = (
    f"The upload was slower than {MIN_BYTES_PER_SECOND // 1024} KiB a second while others waited to upload. "
    "Nothing was stored. Send it again later, or over a faster connection."
)


class UploadSlot:
    """The slot of an upload. It counts only the time in which the client is waited for."""

    def __init__(self, client: Hashable, limit: WaitLimit) -> None:
        self.client, self.ending = client, False
        self._limit, self._loop = limit, asyncio.get_running_loop()
        self._credit = MAX_DELAY
        self._waits_since: float | None = None

    def paced(self, parts: AsyncIterator[T], size: Callable[[T], int]) -> AsyncIterator[T]:
        """Yield what the client sends and measure its rate. ``size`` returns the bytes of a part."""
        return _Paced(self, parts, size)

    async def next_of(self, parts: AsyncIterator[T], size: Callable[[T], int]) -> T:
        """Return the next part, as ``paced`` does; raises StopAsyncIteration."""
        self._waits_since = self._loop.time()
        try:
            part = await anext(parts)
            credit = self.credit() + size(part) / MIN_BYTES_PER_SECOND
            self._credit = max(-MAX_DELAY, min(MAX_DELAY, credit))
        finally:
            self._waits_since = None
        return part

    def credit(self) -> float:
        """Return the seconds until the upload is too slow. They pass only while the client is waited for."""
        waited = 0.0 if self._waits_since is None else self._loop.time() - self._waits_since
        return self._credit - waited

    @property
    def too_slow(self) -> bool:
        """The client is waited for, and its upload is slower than others have to wait for."""
        return self._waits_since is not None and not self.ending and self.credit() <= 0

    def end(self) -> None:
        """End the upload with an error."""
        self.ending = True
        self._limit.end()


class _Paced(Generic[T]):
    """Parts of an upload. A class, because an unfinished generator would need to be closed."""

    def __init__(self, upload: UploadSlot, parts: AsyncIterator[T], size: Callable[[T], int]) -> None:
        self._upload, self._parts, self._size = upload, parts, size

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        return await self._upload.next_of(self._parts, self._size)


class _Waiter:
    def __init__(self, client: Hashable) -> None:
        self.client, self.admitted = client, asyncio.Event()


class UploadSlots:
    """Slots for ``total`` uploads. One client has at most ``of_client`` uploads that run or wait for a slot.

    Clients without an upload come first. While one of them waits, a slow upload ends: first those of the clients with
    most uploads, and of these the one that is furthest behind the minimum rate.
    """

    def __init__(self, total: int, of_client: int, refusal: str, *, timeout: float = SLOT_TIMEOUT) -> None:
        """Refuse with the sentence ``refusal`` when no slot is free within ``timeout`` seconds."""
        self._total, self._of_client, self._refusal, self._timeout = total, of_client, refusal, timeout
        self._taken = ClientCounts()
        self._uploads = set[UploadSlot]()
        self._waiters: list[_Waiter] = []
        self._check: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def take(self, client: Hashable) -> AsyncGenerator[UploadSlot, None]:
        """Hold a slot while the context is open; raises Overloaded if none is free, or if the upload is too slow."""
        await self._acquire(client)
        limit = at_most(None)
        upload = UploadSlot(client, limit)
        self._uploads.add(upload)
        try:
            async with limit:
                yield upload
        finally:
            self._uploads.discard(upload)
            self._release(client)
        if limit.expired:
            raise Overloaded(TOO_SLOW, retry_after=RETRY_AFTER)

    async def _acquire(self, client: Hashable) -> None:
        waiting = sum(waiter.client == client for waiter in self._waiters)
        if self._taken.of(client) + waiting >= self._of_client or len(self._waiters) >= MAX_WAITING:
            raise Overloaded(self._refusal)
        if self._taken.total < self._total:
            self._taken.add(client)
            return
        waiter = _Waiter(client)
        self._waiters.append(waiter)
        self._make_room()
        try:
            async with at_most(self._timeout):
                await waiter.admitted.wait()
        except BaseException:
            if waiter.admitted.is_set():
                self._release(client)
            raise
        finally:
            if not waiter.admitted.is_set():
                self._waiters.remove(waiter)
        if not waiter.admitted.is_set():
            raise Overloaded(self._refusal)

    def _release(self, client: Hashable) -> None:
        self._taken.subtract(client)
        if not self._waiters:
            return
        waiter = next((one for one in self._waiters if not self._taken.of(one.client)), self._waiters[0])
        self._waiters.remove(waiter)
        self._taken.add(waiter.client)
        waiter.admitted.set()

    def _make_room(self) -> None:
        """End as many slow uploads as clients without a slot wait, and look again while some do."""
        if self._check is not None:
            self._check.cancel()
            self._check = None
        clients = {waiter.client for waiter in self._waiters if not self._taken.of(waiter.client)}
        missing = len(clients) - sum(upload.ending for upload in self._uploads)
        slow = [upload for upload in self._uploads if upload.too_slow]
        slow.sort(key=lambda upload: (-self._taken.of(upload.client), upload.credit()))
        for upload in slow[: max(0, missing)]:
            upload.end()
        if self._waiters:
            self._check = asyncio.get_running_loop().call_later(CHECK_INTERVAL, self._make_room)
