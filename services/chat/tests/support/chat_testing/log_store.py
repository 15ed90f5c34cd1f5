"""In-memory log store. It passes the same contract tests as the Redis store."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from chat.running.turn_log_store import AppendResult, LogAppend, LogEnd, LogItem, LogStoreUnavailable


@dataclass
class InMemoryLogStore:
    """A LogStore. Every method raises LogStoreUnavailable while ``unavailable``."""

    logs: dict[UUID, list[LogItem]] = field(default_factory=dict)
    appends: int = 0
    """Number of ``append`` calls."""
    unavailable: bool = False
    published: list[UUID] = field(default_factory=list)
    """Turns whose cancellation was published."""
    _read: set[UUID] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _cancellations: "asyncio.Queue[UUID]" = field(default_factory=asyncio.Queue)

    def positions(self, turn_id: UUID) -> list[tuple[int, int]]:
        """Return the positions of a log's items."""
        return [(item.epoch, item.seq) for item in self.logs.get(turn_id, [])]

    async def append(self, batches: Sequence[LogAppend]) -> list[AppendResult]:
        self._require_available()
        self.appends += 1
        return [self._append(batch) for batch in batches]

    def _append(self, batch: LogAppend) -> AppendResult:
        if batch.turn_id not in self.logs and not batch.create:
            return "missing"
        for seq, entry in enumerate(batch.entries, batch.seq):
            if not self._add(batch.turn_id, LogItem(batch.epoch, seq, entry)):
                return "refused"
        return "appended"

    def _add(self, turn_id: UUID, item: LogItem) -> bool:
        log = self.logs.setdefault(turn_id, [])
        if log and (log[-1].epoch, log[-1].seq) >= (item.epoch, item.seq):
            return False
        log.append(item)
        self._changed.set()
        return True

    async def mark_ended(self, ends: Sequence[LogEnd]) -> None:
        self._require_available()
        for turn_id, epoch, seq in ends:
            if turn_id in self.logs:
                self._add(turn_id, LogItem(epoch, seq, None, end=True))

    async def seal(self, turn_id: UUID, epoch: int) -> list[LogItem]:
        self._require_available()
        self._add(turn_id, LogItem(epoch, 0, None, end=True))
        return list(self.logs[turn_id])

    async def read(self, turn_id: UUID) -> list[LogItem]:
        self._require_available()
        return list(self.logs.get(turn_id, []))

    async def newest_position(self, turn_id: UUID) -> tuple[int, int] | None:
        self._require_available()
        positions = self.positions(turn_id)
        return positions[-1] if positions else None

    async def tail(self, cursors: Mapping[UUID, tuple[int, int]], wait: float) -> dict[UUID, list[LogItem]]:
        self._require_available()
        found = self._behind(cursors)
        if not found:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            self._require_available()
            found = self._behind(cursors)
        return found

    def _behind(self, cursors: Mapping[UUID, tuple[int, int]]) -> dict[UUID, list[LogItem]]:
        found = {
            turn_id: [item for item in self.logs.get(turn_id, []) if (item.epoch, item.seq) > cursor]
            for turn_id, cursor in cursors.items()
        }
        return {turn_id: items for turn_id, items in found.items() if items}

    async def ping(self) -> None:
        self._require_available()

    async def erase(self, turn_id: UUID, epoch: int) -> None:
        self._require_available()
        self.logs[turn_id] = [LogItem(epoch, 0, None, end=True)]

    async def mark_read(self, turn_ids: Collection[UUID], seconds: float) -> None:
        self._require_available()
        self._read |= set(turn_ids)

    async def is_read(self, turn_id: UUID) -> bool:
        self._require_available()
        return turn_id in self._read

    async def publish_cancellation(self, turn_id: UUID) -> None:
        self.published.append(turn_id)
        if not self.unavailable:
            self._cancellations.put_nowait(turn_id)

    async def cancellations(self) -> AsyncGenerator[UUID, None]:
        while True:
            self._require_available()
            yield await self._cancellations.get()

    def _require_available(self) -> None:
        if self.unavailable:
            raise LogStoreUnavailable
