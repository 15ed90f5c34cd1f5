"""Recovery of turns whose runner has lost its lease: take over, seal the log, store the outcome."""

import asyncio
from collections.abc import Collection, Sequence
from decimal import Decimal
from uuid import UUID

import structlog

from chat.catalogue import Catalogue, Model
from chat.errors import ModelNotFound, ProviderUnavailable
from chat.metrics import ChatMetrics
from chat.model import FIRST_SEQ, LogEntry, Outcome, Turn
from chat.running.lease import RunnerLease
from chat.running.outcome import StopReason, decide
from chat.running.runner_store import RunnerStore
from chat.running.supervisor import Supervisor
from chat.running.tool_calls import join_calls
from chat.running.turn_log_store import LogItem, LogStore, LogStoreUnavailable
from chat.running.usage import estimated_usage
from chat.turn_store import TurnStore
from parley import times
from parley.process.loop_steps import run_step

log = structlog.get_logger()

SCAN_INTERVAL = 1.0
MAX_CONCURRENT_RECOVERIES = 20
SEAL_TIMEOUT = 40.0
"""Seconds to wait for the log store before a turn is ended without its log."""
SEAL_RETRY_INTERVAL = 0.5


class Recovery:
    """Finds and ends turns that no runner runs. Every replica runs one."""

    def __init__(
        self,
        *,
        store: TurnStore,
        runners: RunnerStore,
        log_store: LogStore,
        supervisor: Supervisor,
        lease: RunnerLease,
        catalogue: Catalogue,
        metrics: ChatMetrics,
        seal_timeout: float = SEAL_TIMEOUT,
    ) -> None:
        self._store, self._runners, self._log_store = store, runners, log_store
        self._supervisor, self._lease, self._catalogue = supervisor, lease, catalogue
        self._metrics, self._seal_timeout = metrics, seal_timeout

    async def run(self) -> None:
        """Scan for turns and recover them until cancelled."""
        recovering: dict[UUID, asyncio.Task[None]] = {}
        try:
            while True:
                await asyncio.sleep(SCAN_INTERVAL)
                await run_step("recovery", lambda: self._scan(recovering))
        finally:
            for task in recovering.values():
                task.cancel()
            if recovering:
                await asyncio.wait(recovering.values())

    async def _scan(self, recovering: dict[UUID, asyncio.Task[None]]) -> None:
        for turn_id in [turn_id for turn_id, task in recovering.items() if task.done()]:
            del recovering[turn_id]
        for turn in await self.take_over(recovering):
            recovering[turn.id] = asyncio.create_task(self._recover(turn), name=f"recover {turn.id}")

    async def _recover(self, turn: Turn) -> None:
        await run_step("recovery of a turn", lambda: self.recover(turn))

    async def take_over(self, recovering: Collection[UUID]) -> list[Turn]:
        """Assign turns without a running runner to this one; returns them. ``recovering`` turns are left out.

        Raises DependencyUnavailable.
        """
        if not self._lease.stable() or len(recovering) >= MAX_CONCURRENT_RECOVERIES:
            return []
        runner_id = self._supervisor.runner_id
        owned = self._supervisor.owned().union(recovering)
        found = await self._runners.left_behind(runner_id, owned, MAX_CONCURRENT_RECOVERIES)
        left = set(found) - self._supervisor.owned()  # turns that this process has admitted since are its own
        return await self._runners.take_over(runner_id, left) if left else []

    async def recover(self, turn: Turn) -> None:
        """End a turn that was taken over, with the entries of its log.

        Raises DependencyUnavailable. A failure leaves the turn to the next scan.
        """
        entries, lost = await self._seal(turn)
        outcome = self.outcome(turn, entries)
        ended = await self._store.finish(turn, outcome)
        if ended is not None:
            self._metrics.recovered.inc()
            self._metrics.record_usage(turn.model, outcome)
            log.warning("turn_recovered", turn_id=str(turn.id), status=ended.status, log_lost=lost)

    async def _seal(self, turn: Turn) -> tuple[tuple[LogEntry, ...], bool]:
        """Seal the log; returns its entries and whether the log was lost."""
        deadline = asyncio.get_running_loop().time() + self._seal_timeout
        while True:
            try:
                return contiguous(await self._log_store.seal(turn.id, turn.epoch), turn.epoch)
            except LogStoreUnavailable:
                if asyncio.get_running_loop().time() > deadline:
                    return (), True
            await asyncio.sleep(SEAL_RETRY_INTERVAL)

    def outcome(self, turn: Turn, entries: tuple[LogEntry, ...]) -> Outcome:
        """Return the outcome of a turn that ended with these entries, at the price of the model that gave them."""
        stopped: StopReason = "cancelled" if turn.cancel_requested else "interrupted"
        end = decide(stopped, None, finish_reason=None, has_output=bool(entries))
        model = self._model(turn)
        usage = estimated_usage(entries, turn.prompt_tokens if entries else 0)
        price = model.price if model else None
        return Outcome(
            status=end.status,
            finish_reason=end.finish_reason,
            entries=entries,
            content="".join(entry.text for entry in entries),
            tool_calls=join_calls(entries),
            usage=usage,
            cost=price.of(usage) if price else (None if entries else Decimal(0)),
            price_version=price.version if price else None,
            provider=model.provider if model and entries else None,
            provider_model=model.provider_model if model and entries else None,
            error=end.error,
            finished_at=times.now(),
            log_lost=True,
        )

    def _model(self, turn: Turn) -> Model | None:
        """Return the model that answered: the one that the turn's reservation is for."""
        try:
            return self._catalogue.find(turn.answering_model or turn.model)
        except (ModelNotFound, ProviderUnavailable):
            return None


def contiguous(items: Sequence[LogItem], epoch: int) -> tuple[tuple[LogEntry, ...], bool]:
    """Return the entries of lower epochs up to the first gap, and whether the log has lost its beginning."""
    entries: list[LogEntry] = []
    has_beginning = False
    for item in items:
        if item.epoch >= epoch or item.end:
            continue
        has_beginning = has_beginning or item.seq == FIRST_SEQ
        if item.entry is not None and item.seq == FIRST_SEQ + len(entries) + 1:
            entries.append(item.entry)
    return (tuple(entries), False) if has_beginning else ((), True)
