"""Reconciler: confirms the turns that history has stored, republishes the missing ones, purges old data."""

import asyncio
import random

import structlog

from chat.events.deletion_reconciler import DeletionReconciler
from chat.events.erasure_store import TurnErasureStore
from chat.events.maintenance_store import MaintenanceStore, UnconfirmedTurn
from chat.history import History
from chat.metrics import ChatMetrics
from parley.process.loop_steps import run_step

log = structlog.get_logger()

PAGE_SIZE = 1000
MAX_PAGES = 100
RUN_NAME, LEAST_INTERVAL = "reconciliation", 0.7
"""The task of which one replica at a time has a run, and the part of the interval that is between two."""
REPUBLISH_AFTER = 60.0
"""Seconds after which an event that history has not stored counts as lost."""


class Reconciler:
    """Runs periodically on one replica at a time. Concurrent runs do no harm."""

    def __init__(
        self,
        *,
        store: MaintenanceStore,
        erasure: TurnErasureStore,
        deletions: DeletionReconciler,
        history: History,
        metrics: ChatMetrics,
        interval: float,
        turn_retention: float,
        event_retention: float,
    ) -> None:
        """Create a reconciler. All durations are in seconds; retention applies to confirmed turns and events."""
        self._store, self._erasure, self._deletions = store, erasure, deletions
        self._history, self._metrics = history, metrics
        self._interval, self.republish_after = interval, min(REPUBLISH_AFTER, interval)
        self._turn_retention, self._event_retention = turn_retention, event_retention

    async def run(self) -> None:
        """Reconcile at each interval until cancelled."""
        while True:
            await asyncio.sleep(self._interval * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            await run_step("reconciliation claim", self.reconcile_if_due)

    async def reconcile_if_due(self) -> None:
        """Reconcile, unless another replica has begun to: while history lags, each run asks for every turn again."""
        if await self._store.claim_run(RUN_NAME, LEAST_INTERVAL * self._interval):
            await self.reconcile()

    async def reconcile(self) -> None:
        """Compare with history, then purge. An unavailable dependency leaves the work to the next run."""
        await run_step("reconciliation", self._compare)
        await run_step("deletions", self._deletions.reconcile)
        await run_step("deleted conversations", self._erasure.blank_deleted_conversations)
        await run_step("purge", self._purge)

    async def _purge(self) -> None:
        while await self._store.purge(turns=self._turn_retention, events=self._event_retention) >= PAGE_SIZE:
            await asyncio.sleep(0)

    async def _compare(self) -> None:
        last: UnconfirmedTurn | None = None
        for _ in range(MAX_PAGES):
            page = await self._store.unconfirmed(last, older_than=self.republish_after / 2, limit=PAGE_SIZE)
            if not page:
                return
            await self._compare_page(page)
            last = page[-1]

    async def _compare_page(self, page: list[UnconfirmedTurn]) -> None:
        turn_ids = [turn.turn_id for turn in page]
        known = await self._history.known_turns(turn_ids)
        if known:
            await self._store.confirm(known)
        missing = set(turn_ids) - known
        if missing:
            republished = await self._store.republish(missing, older_than=self.republish_after)
            self._metrics.republished.inc(republished)
            if republished:
                log.warning("turns_republished", events=republished)
