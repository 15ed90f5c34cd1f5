"""Runner of one turn: generates the answer into the log, then stores the outcome."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import structlog

from chat.admission.turn_job import TurnJob
from chat.catalogue import Model
from chat.errors import ProviderFailure
from chat.generation import AnswerChunk, AnswerGenerator, ModelSelected, Prompt
from chat.metrics import ChatMetrics
from chat.model import EMPTY_USAGE, LogEntry, Outcome, Turn
from chat.running.log_replication import LogReplicator
from chat.running.outcome import StopReason, cached_outcome, decide
from chat.running.tool_calls import join_calls
from chat.running.turn_log import TurnLog
from chat.running.usage import billed_usage
from chat.turn_store import TurnStore
from parley import times
from parley.errors import DependencyUnavailable
from parley_events.parts import Usage

log = structlog.get_logger()

FIRST_RETRY_INTERVAL, MAX_RETRY_INTERVAL = 0.1, 2.0
"""Seconds between attempts to store an outcome, doubled after each attempt."""
MAX_UNFORESEEN_FAILURES = 20
"""Attempts that may fail with an error other than an unavailable database, before recovery takes the turn's log."""


class Runner:
    """Runs one turn. The run does not depend on readers; only ``stop`` and the deadline end it early."""

    def __init__(
        self,
        job: TurnJob,
        *,
        store: TurnStore,
        replicator: LogReplicator,
        generator: AnswerGenerator,
        metrics: ChatMetrics,
        answer_limit: int,
        pending_after: float,
    ) -> None:
        """Create a runner.

        ``answer_limit`` is in characters. Readers of an outcome that cannot be stored are interrupted after
        ``pending_after`` seconds.
        """
        self.log = TurnLog(job.turn)
        self._job, self._store, self._replicator = job, store, replicator
        self._generator = job.embedding or generator
        self._metrics, self._answer_limit, self._pending_after = metrics, answer_limit, pending_after
        self._stop: asyncio.Future[StopReason] = asyncio.get_running_loop().create_future()
        alias = job.turn.model
        # Resolved once, because looking up a label costs more than an observation.
        self._observe_first = metrics.first_token.labels(alias).observe
        self._observe_gap = metrics.inter_token.for_model(alias).observe
        self._began = self._last_chunk_at = time.monotonic()
        self._first_token: float | None = None
        self._model, self._terms = job.models[0], job.terms
        self._characters = 0
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._answered = False
        self._cached: Turn | None = None

    def stop(self, reason: StopReason) -> None:
        """End the turn early. Later reasons are ignored."""
        if not self._stop.done():
            self._stop.set_result(reason)

    async def run(self) -> None:
        """Run the turn until its outcome is stored or another runner owns it."""
        self._replicator.opened(self.log)
        try:
            await self._run()
        finally:
            self._replicator.closed(self.log)

    async def _run(self) -> None:
        failure = await self._answer()
        stopped = self._stop.result() if self._stop.done() else None
        if stopped == "fenced":
            await self._give_up()
            return
        await self._finish(self._outcome(stopped, failure))

    async def _answer(self) -> ProviderFailure | None:
        """Fill the log until the answer is complete, the turn is stopped, or its deadline; returns the failure."""
        generation = asyncio.create_task(self._generate())
        remaining = (self._job.turn.deadline_at - times.now()).total_seconds()
        try:
            waiting: set[asyncio.Future[Any]] = {generation, self._stop}
            await asyncio.wait(waiting, timeout=max(0, remaining), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not generation.done():
                generation.cancel()
                await asyncio.wait({generation})
        if generation.cancelled():
            self.stop("deadline")
            return None
        error = generation.exception()
        if error is None or isinstance(error, ProviderFailure):
            return error
        log.error("turn_failed", turn_id=str(self._job.turn.id), exc_info=error)
        return ProviderFailure()

    async def _generate(self) -> None:
        if self._job.cache_lookup is not None:
            self._cached = await self._job.cache_lookup.find()
        if self._cached is None:
            await self._stream()

    async def _stream(self) -> None:
        async with contextlib.aclosing(
            self._generator.stream(self._job.models, self._prompt_for, self._add_all)
        ) as found:
            async for item in found:
                if isinstance(item, ModelSelected):
                    self._model, self._answered = item.model, True
                else:
                    self._add_all(item)

    async def _prompt_for(self, model: Model) -> Prompt | None:
        if model is not self._job.models[0]:
            terms = await self._job.fallback_terms(model) if self._job.fallback_terms is not None else None
            if terms is None:
                return None
            self._terms, self._model = terms, model
        return self._terms.prompt

    def _add_all(self, chunks: Sequence[AnswerChunk]) -> None:
        known = len(self.log.entries)
        try:
            for chunk in chunks:
                self._add(chunk)
        finally:
            if len(self.log.entries) > known:
                self._replicator.grown(self.log)

    def _add(self, chunk: AnswerChunk) -> None:
        entry, finish_reason, usage, _ = chunk
        self._usage = usage or self._usage
        self._finish_reason = finish_reason or self._finish_reason
        if entry is None:
            return
        self._observe_time()
        self._characters += entry.length()
        if self._characters > self._answer_limit:
            raise ProviderFailure
        self.log.append(entry)

    def _observe_time(self) -> None:
        now = time.monotonic()
        if self._first_token is None:
            self._first_token = now - self._began
            self._observe_first(self._first_token)
        else:
            self._observe_gap(now - self._last_chunk_at)
        self._last_chunk_at = now

    def _outcome(self, stopped: StopReason | None, failure: ProviderFailure | None) -> Outcome:
        if self._cached is not None and stopped is None:
            # A cached answer never enters the log: readers get it from the stored row.
            return cached_outcome(self._cached)
        entries = tuple(self.log.entries)
        end = decide(
            stopped,
            failure,
            finish_reason=self._finish_reason,
            has_output=bool(entries),
            capped=self._terms.capped_by_budget,
        )
        failed = end.status == "failed"
        usage = EMPTY_USAGE if failed else self._usage_of(entries)
        price = self._model.price
        return Outcome(
            status=end.status,
            finish_reason=end.finish_reason,
            entries=entries,
            content="".join(entry.text for entry in entries),
            tool_calls=join_calls(entries),
            usage=usage,
            cost=price.of(usage) if price else (Decimal(0) if failed else None),
            price_version=price.version if price else None,
            provider=self._model.provider if self._has_prompt else None,
            provider_model=self._model.provider_model if self._has_prompt else None,
            error=end.error,
            finished_at=times.now(),
            time_to_first_token_ms=None if self._first_token is None else round(self._first_token * 1000),
        )

    @property
    def _has_prompt(self) -> bool:
        return self._answered or self._terms.prompt.call.is_open

    def _usage_of(self, entries: Sequence[LogEntry]) -> Usage:
        if self._usage is not None and self._job.embedding is not None:
            return self._usage
        prompt_tokens = self._job.turn.prompt_tokens if self._has_prompt else 0
        return billed_usage(self._usage, entries, self._terms.prompt, prompt_tokens, self._model)

    async def _finish(self, outcome: Outcome) -> None:
        turn = await self._store_outcome(outcome)
        if turn is None:
            await self._give_up()
            return
        self._metrics.record_end(turn.model, outcome, time.monotonic() - self._began)
        self.log.end(turn)
        if self._job.cache_lookup is not None:
            await self._job.cache_lookup.save(turn, self._model)
        if self._job.settle is not None:
            await self._job.settle(turn)

    async def _store_outcome(self, outcome: Outcome) -> Turn | None:
        """Store the outcome, retrying while the database is unavailable; None if another runner owns the turn."""
        interval, unforeseen = FIRST_RETRY_INTERVAL, 0
        # A timer, because one attempt at an unresponsive database may take longer than readers should wait.
        pending = asyncio.get_running_loop().call_later(self._pending_after, self.log.mark_pending)
        try:
            while True:
                try:
                    return await self._store.finish(self._job.turn, outcome)
                except DependencyUnavailable:
                    log.warning("turn_end_not_stored", turn_id=str(self._job.turn.id))
                except Exception:
                    unforeseen += 1
                    if unforeseen == MAX_UNFORESEEN_FAILURES:
                        raise
                    log.exception("turn_end_not_stored", turn_id=str(self._job.turn.id))
                await asyncio.sleep(interval)
                interval = min(interval * 2, MAX_RETRY_INTERVAL)
        finally:
            pending.cancel()

    async def _give_up(self) -> None:
        """Close the log with the stored turn if it has ended, because another runner or an erasure owns it."""
        turn: Turn | None = None
        with contextlib.suppress(DependencyUnavailable):
            turn = await self._store.get(self._job.turn.id)
        if turn is not None and not turn.running:
            self.log.end(turn)
        else:
            self.log.abandon()
