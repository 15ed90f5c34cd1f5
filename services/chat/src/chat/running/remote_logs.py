"""Logs of turns that run on other replicas, read from the log store over one connection."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from chat.model import FIRST_SEQ, Turn
from chat.running.runner_store import RunnerStore
from chat.running.turn_log import TurnLog
from chat.running.turn_log_store import LogItem, LogStore, LogStoreUnavailable
from chat.running.turn_view import TurnView
from parley.errors import DependencyUnavailable
from parley.process.tasks import EarlyEnds

TAIL_WAIT = 0.2
"""Seconds of one blocking read; a newly opened log joins the next read."""
MAX_SILENCE = 1.0
"""Seconds without an item after which the turn's row is checked."""
RETRY_INTERVAL = 0.5
MARK_INTERVAL, MARK_LIFETIME = 1.0, 5.0
"""Seconds between marks that turns have readers here, and seconds for which a mark is valid."""


@dataclass(slots=True)
class _RemoteLog:
    log: TurnLog
    cursor: tuple[int, int] = (0, 0)
    complete: bool = False
    """The stored log was read from its beginning, so that ``log`` has everything that other readers have seen."""
    broken: bool = False
    """Entries are missing or the log is sealed. The remaining entries come from the turn's row."""
    ended: bool = False
    last_item_at: float = field(default_factory=time.monotonic)
    users: int = 0

    def extend(self, items: Sequence[LogItem]) -> None:
        for item in items:
            self.cursor = max(self.cursor, (item.epoch, item.seq))
            self.ended = self.ended or item.end
            expected = FIRST_SEQ + len(self.log.entries) + 1
            if item.entry is None or item.seq < expected or self.broken:
                self.broken = self.broken or (item.epoch > self.log.turn.epoch)
            elif item.seq == expected:
                self.log.append(item.entry)
            else:
                self.broken = True
        if items:
            self.last_item_at = time.monotonic()
            self.log.show(len(self.log.entries))

    def needs_row(self) -> bool:
        return self.ended or time.monotonic() - self.last_item_at >= MAX_SILENCE


class RemoteLogs:
    """The remote logs that this process reads, updated by ``run``."""

    def __init__(self, store: LogStore, rows: RunnerStore) -> None:
        self._store, self._rows = store, rows
        self._logs: dict[UUID, _RemoteLog] = {}
        self._wanted = asyncio.Event()
        self._dismissed = False
        self._marked_at = time.monotonic()

    @contextlib.asynccontextmanager
    async def open(self, turn: Turn) -> AsyncIterator[tuple[TurnLog, bool]]:
        """Yield the log of a turn that runs on another replica, and whether it is complete up to now."""
        remote = self._logs.get(turn.id)
        if remote is None:
            remote = self._logs[turn.id] = _RemoteLog(TurnLog(turn))
            self._wanted.set()
        remote.users += 1
        try:
            await self._mark_read([turn.id])
            await self._catch_up(remote)
            if self._dismissed:
                remote.log.dismiss()
            yield remote.log, remote.complete
        finally:
            remote.users -= 1
            if not remote.users:
                self._logs.pop(turn.id, None)

    def dismiss(self) -> None:
        """Close all logs and every log opened later, because this process drains."""
        self._dismissed = True
        for remote in self._logs.values():
            remote.log.dismiss()

    async def view(self, turn: Turn) -> TurnView:
        """Return a turn with the entries of its stored log; without entries if the store is unavailable."""
        remote = _RemoteLog(TurnLog(turn))
        with contextlib.suppress(LogStoreUnavailable):
            remote.extend(await self._store.read(turn.id))
        return TurnView.of_log(remote.log)

    async def run(self) -> None:
        """Read the open logs until cancelled."""
        early_ends = EarlyEnds(TAIL_WAIT)
        while True:
            await self._wanted.wait()
            if not self._logs:
                self._wanted.clear()
                continue
            early_ends.start()
            if not await self._read():
                await early_ends.no_result()
            await self._check_rows()
            if time.monotonic() - self._marked_at >= MARK_INTERVAL:
                self._marked_at = time.monotonic()
                await self._mark_read(list(self._logs))

    async def _mark_read(self, turn_ids: Sequence[UUID]) -> None:
        """Mark turns as having readers, so that their runner does not cancel them as abandoned."""
        with contextlib.suppress(LogStoreUnavailable):
            await self._store.mark_read(turn_ids, MARK_LIFETIME)

    async def _catch_up(self, remote: _RemoteLog) -> None:
        if not remote.complete:
            with contextlib.suppress(LogStoreUnavailable):
                items = await self._store.read(remote.log.turn.id)
                remote.extend(items)
                remote.complete = bool(items) and not remote.broken

    async def _read(self) -> bool:
        """Read once; return whether there was anything new."""
        cursors = {turn_id: remote.cursor for turn_id, remote in self._logs.items()}
        try:
            found = await self._store.tail(cursors, TAIL_WAIT)
        except LogStoreUnavailable:
            await asyncio.sleep(RETRY_INTERVAL)
            return False
        for turn_id, items in found.items():
            if turn_id in self._logs:
                self._logs[turn_id].extend(items)
        return bool(found)

    async def _check_rows(self) -> None:
        """End the logs whose turn has ended according to its row."""
        silent = [turn_id for turn_id, remote in self._logs.items() if remote.needs_row()]
        if not silent:
            return
        try:
            turns = await self._rows.ended(silent)
        except DependencyUnavailable:
            return
        for turn_id in silent:
            remote = self._logs.get(turn_id)
            if remote is None or self._dismissed:
                continue
            remote.last_item_at, remote.ended = time.monotonic(), False
            if turn_id not in turns:
                remote.log.abandon()
            elif (turn := turns[turn_id]) is not None:
                remote.log.end(turn)
