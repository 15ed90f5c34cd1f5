"""Taking over the turns of runners that died: a higher epoch, a sealed log, and the end they did not write."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

import structlog

from chat.catalogue import Catalogue, Model
from chat.errors import ModelNotFound, ProviderUnavailable
from chat.metrics import ChatMetrics
from chat.model import FIRST_SEQ, LogEntry, Outcome, Turn
from chat.running.lease import RunnerLease
from chat.running.log_store import LogItem, LogStore, LogStoreUnavailable
from chat.running.outcome import StopReason, decide
from chat.running.runner_store import RunnerStore
from chat.running.supervisor import Supervisor
from chat.running.tool_calls import join_calls
from chat.token_estimate import estimate
from chat.turn_store import TurnStore
from parley import times
from parley.errors import DependencyUnavailable
from parley_events.models import Usage

log = structlog.get_logger()

LOOK = 1.0
BATCH = 20
PATIENCE = 40.0
"""Seconds to wait for an absent copy before a turn is ended without it."""
PAUSE = 0.5


class Recovery:
    """Looks for turns that nobody runs; run it in the background of every replica."""

    def __init__(
        self,
        *,
        store: TurnStore,
        runners: RunnerStore,
        streams: LogStore,
        supervisor: Supervisor,
        lease: RunnerLease,
        catalogue: Catalogue,
        metrics: ChatMetrics,
        patience: float = PATIENCE,
    ) -> None:
        self._store, self._runners, self._streams = store, runners, streams
        self._supervisor, self._lease, self._catalogue = supervisor, lease, catalogue
        self._metrics, self._patience = metrics, patience

    async def run(self) -> None:
        """Recover turns as they are found; never returns by itself."""
        in_hand: dict[UUID, asyncio.Task[None]] = {}
        try:
            while True:
                await asyncio.sleep(LOOK)
                in_hand = {turn_id: task for turn_id, task in in_hand.items() if not task.done()}
                for turn in await self._found(in_hand):
                    in_hand[turn.id] = asyncio.create_task(self.recover(turn), name=f"recover {turn.id}")
        finally:
            for task in in_hand.values():
                task.cancel()
            if in_hand:
                await asyncio.wait(in_hand.values())

    async def _found(self, in_hand: dict[UUID, asyncio.Task[None]]) -> list[Turn]:
        if not self._lease.seasoned() or len(in_hand) >= BATCH:
            return []
        running = self._supervisor.running() | in_hand.keys()
        try:
            return await self._runners.take_over(self._supervisor.runner_id, running, BATCH)
        except DependencyUnavailable:
            return []

    async def recover(self, turn: Turn) -> None:
        """End a turn that was taken over, with what its log has; a failure leaves it to the next look."""
        entries, lost = await self._sealed(turn)
        try:
            outcome = self._outcome(turn, entries, lost)
            ended = await self._store.finish(turn, outcome)
        except DependencyUnavailable:
            return
        if ended is not None:
            self._metrics.recovered.inc()
            self._metrics.used(turn.model, outcome)
            log.warning("turn recovered", turn_id=str(turn.id), status=ended.status, log_lost=lost)

    async def _sealed(self, turn: Turn) -> tuple[tuple[LogEntry, ...], bool]:
        """Seal the log and return what it has, and whether it was lost."""
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            try:
                return contiguous(await self._streams.seal(turn.id, turn.epoch), turn.epoch)
            except LogStoreUnavailable:
                if asyncio.get_running_loop().time() > deadline:
                    return (), True
            await asyncio.sleep(PAUSE)

    def _outcome(self, turn: Turn, entries: tuple[LogEntry, ...], lost: bool) -> Outcome:
        content = "".join(entry.text for entry in entries)
        stopped: StopReason = "cancelled" if turn.cancel_requested else "interrupted"
        verdict = decide(stopped, None, finish_reason=None, has_output=bool(entries))
        model, usage = self._model(turn), self._usage(turn, entries)
        price = model.price if model else None
        return Outcome(
            status=verdict.status,
            finish_reason=verdict.finish_reason,
            entries=entries,
            content=content,
            tool_calls=join_calls(entries),
            usage=usage,
            cost=price.of(usage) if price else (None if entries else Decimal(0)),
            price_version=price.version if price else None,
            provider=model.provider if model and entries else None,
            provider_model=model.provider_model if model and entries else None,
            error=verdict.error,
            finished_at=times.now(),
            log_lost=lost,
        )

    def _model(self, turn: Turn) -> Model | None:
        try:
            return self._catalogue.find(turn.model)
        except (ModelNotFound, ProviderUnavailable):
            return None

    @staticmethod
    def _usage(turn: Turn, entries: Sequence[LogEntry]) -> Usage:
        completion = estimate("".join(entry.text + "".join(map(str, entry.tool_calls)) for entry in entries))
        prompt = turn.prompt_tokens if entries else 0
        return Usage(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, estimated=True
        )


def contiguous(items: Sequence[LogItem], epoch: int) -> tuple[tuple[LogEntry, ...], bool]:
    """Return the entries up to the first gap, and whether the log is not whole from its beginning."""
    entries: list[LogEntry] = []
    begun = False
    for item in items:
        if item.epoch >= epoch or item.end:
            continue
        begun = begun or item.seq == FIRST_SEQ
        if item.entry is not None and item.seq == FIRST_SEQ + len(entries) + 1:
            entries.append(item.entry)
    return (tuple(entries), False) if begun else ((), True)
