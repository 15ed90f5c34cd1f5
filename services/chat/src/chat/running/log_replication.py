"""Showing entries once they are safe: when the copy has them, or while it is away and this process holds its lease.

One committer serves all turns of the process: whatever came while a commit was under way is the next one.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from chat.metrics import ChatMetrics
from chat.model import FIRST_SEQ
from chat.running.lease import RunnerLease
from chat.running.log_store import AppendResult, LogAppend, LogStore, LogStoreUnavailable
from chat.running.turn_log import TurnLog

log = structlog.get_logger()

FIRST_PROBE, PROBE = 0.05, 0.5
"""Seconds until an absent store is asked whether it is back, doubled each time, and the most."""
LOOK = 1.0
"""Seconds after which what could not be begun is tried again."""
GATHER = 0.004
"""Least seconds from one commit to the next: under load many entries share one, what comes alone does not wait."""
BATCH = 500
"""Most entries of one log in one commit."""


@dataclass(slots=True)
class _Replica:
    """How far the copy of a log has got: ``count`` items, of which the first is the log's beginning."""

    log: TurnLog
    count: int = 0

    @property
    def behind(self) -> bool:
        """Say whether the log has what the copy has not."""
        return self.count - 1 < len(self.log.entries)

    def next(self) -> LogAppend:
        """Return what is to be copied now."""
        turn, begun = self.log.turn, self.count > 0
        entries = self.log.entries[max(0, self.count - 1) : self.count - 1 + BATCH if begun else BATCH]
        return LogAppend(turn.id, turn.epoch, FIRST_SEQ + self.count, entries if begun else [None, *entries], not begun)


class LogReplicator:
    """The LogCopy on a StreamStore."""

    def __init__(
        self, streams: LogStore, lease: RunnerLease, fence: Callable[[UUID], None], metrics: ChatMetrics
    ) -> None:
        """Take whom to tell that a turn was taken over by a higher epoch."""
        self._streams, self._lease, self._fence, self._metrics = streams, lease, fence, metrics
        self._copies: dict[UUID, _Replica] = {}
        self._dirty: dict[UUID, _Replica] = {}
        self._ended: list[TurnLog] = []
        self._wake = asyncio.Event()
        self._away = False

    def opened(self, log: TurnLog) -> None:
        """Begin the copy of a log."""
        self._copies[log.turn.id] = self._dirty[log.turn.id] = _Replica(log)
        self._wake.set()

    def grown(self, log: TurnLog) -> None:
        """Copy the entries that a log has got, then show them."""
        copy = self._copies.get(log.turn.id)
        if copy is not None:
            self._dirty[log.turn.id] = copy
            self._wake.set()

    def closed(self, log: TurnLog) -> None:
        """Let the copy of an ended turn go soon."""
        self._dirty.pop(log.turn.id, None)
        if self._copies.pop(log.turn.id, None) is not None and log.state == "ended" and not self._away:
            self._ended.append(log)
            self._wake.set()

    async def run(self) -> None:
        """Commit whatever comes; never returns by itself."""
        while True:
            if self._away:
                await self._probe()
            elif self._dirty:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._wake.wait()
            else:
                await self._wake.wait()
            self._wake.clear()
            began = time.monotonic()
            await self._commit()
            await asyncio.sleep(max(0.0, began + GATHER - time.monotonic()))

    async def _commit(self) -> None:
        dirty, self._dirty = self._dirty, {}
        ended, self._ended = self._ended, []
        held = self._lease.held()
        # Without the lease no copy is begun: a recovery may have sealed the one that is gone.
        self._dirty.update({turn_id: copy for turn_id, copy in dirty.items() if not copy.count and not held})
        copies = [copy for copy in dirty.values() if (copy.behind if copy.count else held)]
        batches = [copy.next() for copy in copies]
        try:
            results = await self._streams.append(batches) if batches else []
            for ended_log in ended:
                await self._streams.mark_ended(ended_log.turn.id, ended_log.turn.epoch, ended_log.last_seq)
        except LogStoreUnavailable:
            self._lost(dirty)
            return
        for copy, batch, result in zip(copies, batches, results, strict=True):
            await self._settle(copy, batch, result)

    async def _settle(self, copy: _Replica, batch: LogAppend, result: AppendResult) -> None:
        if result == "appended":
            copy.count += len(batch.entries)
        elif result == "missing":
            copy.count = 0
        else:
            await self._refused(copy)
        copy.log.show(copy.count - 1)
        if copy.log.turn.id in self._copies and copy.behind:
            self._dirty[copy.log.turn.id] = copy
            self._wake.set()

    async def _refused(self, copy: _Replica) -> None:
        """Find out whether a higher epoch wrote, or an append of ours that we took for lost."""
        try:
            top = await self._streams.newest_position(copy.log.turn.id)
        except LogStoreUnavailable:
            return
        epoch = copy.log.turn.epoch
        if top is not None and top[0] > epoch:
            self._copies.pop(copy.log.turn.id, None)
            self._fence(copy.log.turn.id)
        elif top is not None and top[0] == epoch:
            copy.count = min(top[1], len(copy.log.entries) + 1)

    def _lost(self, dirty: dict[UUID, _Replica]) -> None:
        """Go on without the store."""
        self._metrics.copy_lost.inc()
        if not self._away:
            log.warning("copies of logs are away")
        self._away = True
        for turn_id, copy in dirty.items():
            if turn_id in self._copies:
                self._dirty[turn_id] = copy
        self._show_held()

    async def _probe(self) -> None:
        """Show what comes while the store is away; return when it answers, with everything to be copied."""
        back = asyncio.create_task(self._answered(), name="probe of the copies")
        back.add_done_callback(lambda _: self._wake.set())
        try:
            while not back.done():
                self._show_held()
                await self._wake.wait()
                self._wake.clear()
            await back
        finally:
            back.cancel()
        log.info("copies of logs are back")
        self._away = False
        self._dirty.update(self._copies)

    async def _answered(self) -> None:
        pause = FIRST_PROBE
        while True:
            await asyncio.sleep(pause)
            # The lease may be back meanwhile: what waits for it can be shown.
            self._wake.set()
            with contextlib.suppress(LogStoreUnavailable):
                await self._streams.ping()
                return
            pause = min(2 * pause, PROBE)

    def _show_held(self) -> None:
        """Show what the list has; without the lease it may be another's turn by now."""
        if self._lease.held():
            for copy in self._dirty.values():
                copy.log.show(len(copy.log.entries))
