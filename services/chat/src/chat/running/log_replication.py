"""Replication of turn logs to the log store.

Entries are shown to readers once they are replicated. While the store is unavailable, they are shown as long as this
process holds its lease. One loop replicates the logs of all turns; entries that arrive during a commit join the next.
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
from chat.running.turn_log import TurnLog
from chat.running.turn_log_store import LogAppend, LogEnd, LogStore, LogStoreUnavailable
from parley.process.timeouts import at_most

log = structlog.get_logger()

FIRST_PROBE_INTERVAL, MAX_PROBE_INTERVAL = 0.05, 0.5
"""Seconds between probes of an unavailable store, doubled after each probe."""
RETRY_INTERVAL = 1.0
"""Seconds until logs that could not be started are tried again."""
MIN_COMMIT_INTERVAL = 0.004
"""Minimum seconds between commits, so that under load many entries share one."""
WHOLE_ANSWER_INTERVAL = 0.25
"""Seconds between commits for logs whose callers wait for the whole answer. A killed process loses the end of an answer
that no client has received."""
MAX_BATCH_ENTRIES = 500
"""Maximum entries of one log in one commit."""


@dataclass(slots=True)
class _Replica:
    """Progress of one log's replication: ``count`` items, the first of which is the log's beginning."""

    log: TurnLog
    count: int = 0

    @property
    def behind(self) -> bool:
        return self.count - 1 < len(self.log.entries)

    def continue_after(self, seq: int) -> None:
        """Continue after the newest stored item, or after the end of the log if the store has more items."""
        self.count = min(seq, len(self.log.entries) + 1)

    def next_batch(self) -> LogAppend:
        turn, started = self.log.turn, self.count > 0
        first = max(0, self.count - 1)
        entries = self.log.entries[first : first + MAX_BATCH_ENTRIES]
        seq = FIRST_SEQ + self.count
        return LogAppend(turn.id, turn.epoch, seq, entries if started else [None, *entries], not started)


class LogReplicator:
    """Replicates the logs of this process's turns."""

    def __init__(
        self, store: LogStore, lease: RunnerLease, fence: Callable[[UUID], None], metrics: ChatMetrics
    ) -> None:
        """Create a replicator; ``fence`` is called with turns that a higher epoch has taken over."""
        self._store, self._lease, self._fence, self._metrics = store, lease, fence, metrics
        # By log, not by turn: a UUID computes its hash at each use.
        self._replicas: dict[TurnLog, _Replica] = {}
        self._dirty: dict[TurnLog, _Replica] = {}
        self._deferred: dict[TurnLog, _Replica] = {}
        self._deferral: asyncio.TimerHandle | None = None
        self._ended: list[TurnLog] = []
        self._wake = asyncio.Event()
        self._unavailable = False

    def opened(self, log: TurnLog) -> None:
        """Start the replication of a log."""
        self._replicas[log] = self._dirty[log] = _Replica(log)
        self._wake.set()

    def grown(self, log: TurnLog) -> None:
        """Replicate the new entries of a log, then show them.

        That is at the next commit, or within ``WHOLE_ANSWER_INTERVAL`` if all its readers wait for the whole answer.
        """
        replica = self._replicas.get(log)
        if replica is None:
            return
        if not log.is_only_awaited:
            self._dirty[log] = replica
            self._wake.set()
            return
        self._deferred[log] = replica
        if self._deferral is None:
            self._deferral = asyncio.get_running_loop().call_later(WHOLE_ANSWER_INTERVAL, self._end_deferral)

    def _end_deferral(self) -> None:
        deferred, self._deferred, self._deferral = self._deferred, {}, None
        self._dirty.update(deferred)
        self._wake.set()

    def closed(self, log: TurnLog) -> None:
        """Stop the replication of a log; the stored log of an ended turn expires soon."""
        self._dirty.pop(log, None)
        self._deferred.pop(log, None)
        if self._replicas.pop(log, None) is not None and log.state == "ended" and not self._unavailable:
            self._ended.append(log)
            self._wake.set()

    async def run(self) -> None:
        """Replicate until cancelled."""
        while True:
            if self._unavailable:
                await self._wait_for_store()
            elif self._wake.is_set():
                pass  # the usual case under load
            elif self._dirty:
                async with at_most(RETRY_INTERVAL):
                    await self._wake.wait()
            else:
                await self._wake.wait()
            self._wake.clear()
            began = time.monotonic()
            await self._commit()
            await asyncio.sleep(max(0.0, began + MIN_COMMIT_INTERVAL - time.monotonic()))

    async def _commit(self) -> None:
        dirty, self._dirty = self._dirty, {}
        ended, self._ended = self._ended, []
        held = self._lease.held()
        if not held:  # no log is started: a recovery may have sealed the one that is missing
            self._dirty.update({key: replica for key, replica in dirty.items() if not replica.count})
        replicas = [replica for replica in dirty.values() if (replica.behind if replica.count else held)]
        batches = [replica.next_batch() for replica in replicas]
        try:
            results = await self._store.append(batches) if batches else []
            if ended:
                await self._store.mark_ended([LogEnd(each.turn.id, each.turn.epoch, each.last_seq) for each in ended])
        except LogStoreUnavailable:
            self._on_unavailable(dirty)
            return
        for replica, batch, result in zip(replicas, batches, results, strict=True):
            if result == "appended":
                replica.count += len(batch.entries)
            elif result == "missing":
                replica.count = 0
            else:
                await self._on_refused(replica)
            self._settle(replica)

    def _settle(self, replica: _Replica) -> None:
        """Show what is replicated, and replicate what has arrived meanwhile."""
        replica.log.show(replica.count - 1)
        if replica.behind and replica.log in self._replicas:
            self.grown(replica.log)

    async def _on_refused(self, replica: _Replica) -> None:
        """Stop if a higher epoch wrote to the log; otherwise continue behind an append whose reply was lost."""
        try:
            newest = await self._store.newest_position(replica.log.turn.id)
        except LogStoreUnavailable:
            return
        epoch = replica.log.turn.epoch
        if newest is not None and newest[0] > epoch:
            self._replicas.pop(replica.log, None)
            self._fence(replica.log.turn.id)
        elif newest is not None and newest[0] == epoch:
            replica.continue_after(newest[1])

    def _on_unavailable(self, dirty: dict[TurnLog, _Replica]) -> None:
        self._metrics.replication_failures.inc()
        if not self._unavailable:
            log.warning("log_store_unavailable")
        self._unavailable = True
        for turn_log, replica in dirty.items():
            if turn_log in self._replicas:
                self._dirty[turn_log] = replica
        self._show_unreplicated()

    async def _wait_for_store(self) -> None:
        """Show entries without replication until the store answers, then replicate what it lacks."""
        probe = asyncio.create_task(self._probe(), name="log store probe")
        probe.add_done_callback(lambda _: self._wake.set())
        try:
            while not probe.done():
                self._show_unreplicated()
                await self._wake.wait()
                self._wake.clear()
            await probe
        finally:
            probe.cancel()
        log.info("log_store_available")
        self._unavailable = False
        self._dirty.update(self._replicas)

    async def _probe(self) -> None:
        interval = FIRST_PROBE_INTERVAL
        while True:
            await asyncio.sleep(interval)
            # The lease may have been renewed meanwhile, so that waiting entries can be shown.
            self._wake.set()
            with contextlib.suppress(LogStoreUnavailable):
                await self._store.ping()
                await self._compare()
                return
            interval = min(2 * interval, MAX_PROBE_INTERVAL)

    async def _compare(self) -> None:
        """Go back to the end of each stored log: a restart or failover of the store may have lost the newest items."""
        for replica in [each for each in self._replicas.values() if each.count]:
            newest = await self._store.newest_position(replica.log.turn.id)
            if newest is None:
                replica.count = 0
            elif newest[0] == replica.log.turn.epoch:
                replica.continue_after(newest[1])

    def _show_unreplicated(self) -> None:
        """Show all entries while the lease holds; without it, another runner may own the turns."""
        if self._lease.held():
            for replica in self._dirty.values():
                replica.log.show(len(replica.log.entries))
