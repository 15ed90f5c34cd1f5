"""Each minute: ask history which ended turns it has. Present is confirmed; absent is published again."""

import asyncio
import random

import structlog

from chat.errors import HistoryUnavailable
from chat.events.erasure_store import ErasureStore
from chat.events.maintenance_store import MaintenanceStore, UnconfirmedTurn
from chat.history import History
from chat.metrics import ChatMetrics
from parley.errors import DependencyUnavailable

log = structlog.get_logger()

PAGE = 1000
PAGES = 100
SETTLING = 60.0
"""Seconds that an event gets to arrive before it counts as lost."""


class Reconciler:
    """Run it in the background of every replica: doing it twice does no harm."""

    def __init__(
        self,
        *,
        upkeep: MaintenanceStore,
        forgetting: ErasureStore,
        history: History,
        metrics: ChatMetrics,
        interval: float,
        turn_retention: float,
        event_retention: float,
    ) -> None:
        """Take how often (seconds) to compare, and for how long confirmed turns and events are kept."""
        self._upkeep, self._forgetting, self._history, self._metrics = upkeep, forgetting, history, metrics
        self._interval, self._settling = interval, min(SETTLING, interval)
        self._turn_retention, self._event_retention = turn_retention, event_retention

    async def run(self) -> None:
        """Compare and purge for ever; never returns by itself."""
        while True:
            await asyncio.sleep(self._interval * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            await self.once()

    async def once(self) -> None:
        """Compare and purge once; what is away is left to the next time."""
        try:
            await self._compare()
        except HistoryUnavailable:
            log.warning("history not asked about turns")
        except DependencyUnavailable:
            log.warning("turns not compared")
        try:
            await self._forgetting.blank_late_turns()
            while await self._upkeep.purge(turns=self._turn_retention, events=self._event_retention) >= PAGE:
                await asyncio.sleep(0)
        except DependencyUnavailable:
            log.warning("nothing purged")

    async def _compare(self) -> None:
        last: UnconfirmedTurn | None = None
        for _ in range(PAGES):
            page = await self._upkeep.unconfirmed(last, older_than=self._settling / 2, limit=PAGE)
            if not page:
                return
            await self._compare_page(page)
            last = page[-1]

    async def _compare_page(self, page: list[UnconfirmedTurn]) -> None:
        asked = [turn.turn_id for turn in page]
        known = await self._history.known_turns(asked)
        if known:
            await self._upkeep.confirm(known)
        absent = set(asked) - known
        if absent:
            again = await self._upkeep.republish(absent, older_than=self._settling)
            self._metrics.republished.inc(again)
            if again:
                log.warning("turns published again", events=again)
