"""Running one turn: from the provider into the log, then into the row."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import structlog

from chat.admission.response_cache import CacheLookup, cached_outcome
from chat.catalogue import Model
from chat.errors import ProviderFailure
from chat.generation import AnswerChunk, AnswerGenerator, ModelSelected, Prompt
from chat.metrics import ChatMetrics
from chat.model import LogEntry, Outcome, Turn
from chat.running.outcome import StopReason, decide
from chat.running.tool_calls import join_calls
from chat.running.turn_log import LogCopy, TurnLog
from chat.token_estimate import estimate
from chat.turn_store import TurnStore
from parley import times
from parley.errors import DependencyUnavailable
from parley_events.models import Usage

log = structlog.get_logger()

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class TurnJob:
    """What a runner needs beside the turn: who may answer, and what is asked."""

    turn: Turn
    models: Sequence[Model]
    prompt: Prompt
    capped_by_budget: bool = False
    settle: Callable[[Turn], Awaitable[None]] | None = None
    """Told of the turn when its end is stored."""
    cache_lookup: CacheLookup | None = None
    """Where an earlier answer to the same question may be found."""


class Runner:
    """One turn while it runs. It waits for no reader, and nobody but ``stop`` ends it early."""

    def __init__(
        self,
        job: TurnJob,
        *,
        store: TurnStore,
        copy: LogCopy,
        answers: AnswerGenerator,
        metrics: ChatMetrics,
        answer_limit: int,
        pending_after: float,
    ) -> None:
        """Take the most characters of an answer, and the seconds after which readers of an unstored end are told."""
        self.log = TurnLog(job.turn)
        self._job, self._store, self._copy, self._answers = job, store, copy, answers
        self._metrics, self._answer_limit, self._pending_after = metrics, answer_limit, pending_after
        self._stop: asyncio.Future[StopReason] = asyncio.get_running_loop().create_future()
        alias = job.turn.model
        # Looked up once: finding a label's child costs more than counting with it.
        self._observe_first = metrics.first_token.labels(alias).observe
        self._observe_gap = metrics.inter_token.of(alias).observe
        self._began = self._last_piece = time.monotonic()
        self._first_token: float | None = None
        self._model = job.models[0]
        self._characters = 0
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._answered = False
        self._earlier: Turn | None = None

    def stop(self, reason: StopReason) -> None:
        """End the turn early; the first reason wins."""
        if not self._stop.done():
            self._stop.set_result(reason)

    async def run(self) -> None:
        """Run the turn to its end: returns when the row is stored, or is no longer ours."""
        self._copy.opened(self.log)
        try:
            await self._run()
        finally:
            self._copy.closed(self.log)

    async def _run(self) -> None:
        failure = await self._generate()
        stopped = self._stop.result() if self._stop.done() else None
        if stopped == "fenced":
            await self._given_up()
            return
        await self._finish(self._outcome(stopped, failure))

    async def _generate(self) -> ProviderFailure | None:
        """Fill the log until the answer is whole or the turn is stopped; returns what failed."""
        pump = asyncio.create_task(self._pump())
        remaining = (self._job.turn.deadline_at - times.now()).total_seconds()
        try:
            waiting: set[asyncio.Future[Any]] = {pump, self._stop}
            await asyncio.wait(waiting, timeout=max(0, remaining), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not pump.done():
                pump.cancel()
                await asyncio.wait({pump})
        if pump.cancelled():
            self.stop("deadline")
            return None
        error = pump.exception()
        if error is None or isinstance(error, ProviderFailure):
            return error
        log.error("turn failed", turn_id=str(self._job.turn.id), exc_info=error)
        return ProviderFailure()

    async def _pump(self) -> None:
        if self._job.cache_lookup is not None:
            self._earlier = await self._job.cache_lookup.find()
        if self._earlier is None:
            await self._ask()

    async def _ask(self) -> None:
        async with contextlib.aclosing(self._answers.stream(self._job.models, self._job.prompt)) as found:
            async for item in found:
                if isinstance(item, ModelSelected):
                    self._model, self._answered = item.model, True
                else:
                    self._take_all(item)

    def _take_all(self, pieces: Sequence[AnswerChunk]) -> None:
        known = len(self.log.entries)
        try:
            for piece in pieces:
                self._take(piece)
        finally:
            if len(self.log.entries) > known:
                self._copy.grown(self.log)

    def _take(self, piece: AnswerChunk) -> None:
        self._usage = piece.usage or self._usage
        self._finish_reason = piece.finish_reason or self._finish_reason
        if piece.entry is None:
            return
        self._time_piece()
        self._characters += len(piece.entry.text) + sum(len(str(call)) for call in piece.entry.tool_calls)
        if self._characters > self._answer_limit:
            raise ProviderFailure
        self.log.append(piece.entry)

    def _time_piece(self) -> None:
        now = time.monotonic()
        if self._first_token is None:
            self._first_token = now - self._began
            self._observe_first(self._first_token)
        else:
            self._observe_gap(now - self._last_piece)
        self._last_piece = now

    def _outcome(self, stopped: StopReason | None, failure: ProviderFailure | None) -> Outcome:
        if self._earlier is not None and stopped is None:
            # Nothing of it is in the log: it is shown with the row that says so, or not at all.
            return cached_outcome(self._earlier)
        entries = tuple(self.log.entries)
        usage = self._usage or self._estimated(entries)
        verdict = decide(
            stopped,
            failure,
            finish_reason=self._finish_reason,
            has_output=bool(entries),
            capped=self._job.capped_by_budget,
        )
        if verdict.status == "failed":
            usage = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
        price = self._model.price
        return Outcome(
            status=verdict.status,
            finish_reason=verdict.finish_reason,
            entries=entries,
            content="".join(entry.text for entry in entries),
            tool_calls=join_calls(entries),
            usage=usage,
            cost=price.of(usage) if price else (Decimal(0) if verdict.status == "failed" else None),
            price_version=price.version if price else None,
            provider=self._model.provider if self._answered else None,
            provider_model=self._model.provider_model if self._answered else None,
            error=verdict.error,
            finished_at=times.now(),
            time_to_first_token_ms=None if self._first_token is None else round(self._first_token * 1000),
        )

    def _estimated(self, entries: Sequence[LogEntry]) -> Usage:
        """Count what the provider did not: a call that was cut off is no free call."""
        completion = estimate("".join(e.text + "".join(map(str, e.tool_calls)) for e in entries))
        prompt = self._job.turn.prompt_tokens if self._answered else 0
        return Usage(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, estimated=True
        )

    async def _finish(self, outcome: Outcome) -> None:
        turn = await self._stored(outcome)
        if turn is None:
            await self._given_up()
            return
        self._metrics.ended(turn.model, outcome, time.monotonic() - self._began)
        self.log.end(turn)
        if self._job.cache_lookup is not None:
            await self._job.cache_lookup.save(turn, self._model)
        if self._job.settle is not None:
            await self._job.settle(turn)

    async def _stored(self, outcome: Outcome) -> Turn | None:
        """Store the end, however long the database is away; None when the row is no longer ours."""
        pause = FIRST_PAUSE
        # A timer, because one attempt at a database that hangs may take longer than readers should wait.
        timer = asyncio.get_running_loop().call_later(self._pending_after, self.log.wait_for_store)
        try:
            while True:
                try:
                    return await self._store.finish(self._job.turn, outcome)
                except DependencyUnavailable:
                    log.warning("end not stored yet", turn_id=str(self._job.turn.id))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            timer.cancel()

    async def _given_up(self) -> None:
        """Show what the row says, now that another runner, or an erasure, has the last word."""
        turn: Turn | None = None
        with contextlib.suppress(DependencyUnavailable):
            turn = await self._store.get(self._job.turn.id)
        if turn is not None and not turn.running:
            self.log.end(turn)
        else:
            self.log.abandon()
