"""Logs of turns that run on other replicas, read from their copies: one connection for all of them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from chat.model import FIRST_SEQ, Turn
from chat.running.log_store import LogItem, LogStore, LogStoreUnavailable
from chat.running.runner_store import RunnerStore
from chat.running.turn_log import TurnLog
from parley.errors import DependencyUnavailable

log = structlog.get_logger()

WAIT = 0.2
"""Seconds of one blocking read; a new mirror waits at most so long for the next one."""
SILENCE = 1.0
"""Seconds of silence after which the row is looked at."""
PAUSE = 0.5
MARK_EVERY, MARKED_FOR = 1.0, 5.0
"""Seconds between two notes that turns are read here, and for which one holds: some may fail."""


@dataclass(slots=True)
class _RemoteLog:
    log: TurnLog
    cursor: tuple[int, int] = (0, 0)
    whole: bool = False
    """Its copy has been read from the start, so that it shows all that anybody was shown."""
    broken: bool = False
    """Entries are missing, or the log was sealed: the rest comes with the row."""
    ended: bool = False
    heard: float = field(default_factory=time.monotonic)
    users: int = 0

    def take(self, items: Sequence[LogItem]) -> None:
        """Append what the copy has got."""
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
            self.heard = time.monotonic()
            self.log.show(len(self.log.entries))

    def silent(self) -> bool:
        """Say whether it is time to look at the row."""
        return self.ended or time.monotonic() - self.heard >= SILENCE


class RemoteLogs:
    """All mirrors of this process, kept up to date by ``run``."""

    def __init__(self, streams: LogStore, rows: RunnerStore) -> None:
        self._streams, self._rows = streams, rows
        self._mirrors: dict[UUID, _RemoteLog] = {}
        self._wanted = asyncio.Event()
        self._dismissed = False
        self._marked = time.monotonic()

    @contextlib.asynccontextmanager
    async def open(self, turn: Turn) -> AsyncIterator[tuple[TurnLog, bool]]:
        """Lend the log of a turn that runs elsewhere, and say whether it is known to be up to date."""
        mirror = self._mirrors.get(turn.id)
        if mirror is None:
            mirror = self._mirrors[turn.id] = _RemoteLog(TurnLog(turn))
            self._wanted.set()
        mirror.users += 1
        try:
            await self._mark([turn.id])
            await self._catch_up(mirror)
            if self._dismissed:
                mirror.log.dismiss()
            yield mirror.log, mirror.whole
        finally:
            mirror.users -= 1
            if not mirror.users:
                self._mirrors.pop(turn.id, None)

    def dismiss(self) -> None:
        """Send all readers to other replicas: this process is about to go."""
        self._dismissed = True
        for mirror in self._mirrors.values():
            mirror.log.dismiss()

    async def last_seq(self, turn: Turn) -> int:
        """Return the seq of the newest event of a turn that runs elsewhere, as far as it is known."""
        with contextlib.suppress(LogStoreUnavailable):
            top = await self._streams.newest_position(turn.id)
            if top is not None and top[0] == turn.epoch:
                return max(FIRST_SEQ, top[1])
        return FIRST_SEQ

    async def run(self) -> None:
        """Read all copies and look at the rows of silent turns; never returns by itself."""
        while True:
            await self._wanted.wait()
            if not self._mirrors:
                self._wanted.clear()
                continue
            await self._read()
            await self._look()
            if time.monotonic() - self._marked >= MARK_EVERY:
                self._marked = time.monotonic()
                await self._mark(list(self._mirrors))

    async def _mark(self, turn_ids: Sequence[UUID]) -> None:
        """Let the replica that runs a turn know that it is read here."""
        with contextlib.suppress(LogStoreUnavailable):
            await self._streams.mark_read(turn_ids, MARKED_FOR)

    async def _catch_up(self, mirror: _RemoteLog) -> None:
        if not mirror.whole:
            with contextlib.suppress(LogStoreUnavailable):
                items = await self._streams.read(mirror.log.turn.id)
                mirror.take(items)
                mirror.whole = bool(items) and not mirror.broken

    async def _read(self) -> None:
        cursors = {turn_id: mirror.cursor for turn_id, mirror in self._mirrors.items()}
        try:
            found = await self._streams.tail(cursors, WAIT)
        except LogStoreUnavailable:
            await asyncio.sleep(PAUSE)
            return
        for turn_id, items in found.items():
            if turn_id in self._mirrors:
                self._mirrors[turn_id].take(items)

    async def _look(self) -> None:
        silent = [turn_id for turn_id, mirror in self._mirrors.items() if mirror.silent()]
        if not silent:
            return
        try:
            rows = await self._rows.get_turns(silent)
        except DependencyUnavailable:
            return
        for turn_id in silent:
            mirror, row = self._mirrors.get(turn_id), rows.get(turn_id)
            if mirror is None or self._dismissed:
                continue
            mirror.heard, mirror.ended = time.monotonic(), False
            if row is None:
                mirror.log.abandon()
            elif not row.running:
                mirror.log.end(row)
