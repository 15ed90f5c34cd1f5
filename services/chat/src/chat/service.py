"""Turns as people ask for them: admitted, followed, listed, cancelled."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from chat.admission.budgets import Budgets
from chat.admission.context_window import ContextLoader, EarlierExchanges, PromptContext, fit
from chat.admission.new_turn import new_turn, running
from chat.admission.position import PositionResolver, TurnPosition
from chat.admission.response_cache import ResponseCache
from chat.admission.token_limits import TokenLimits
from chat.admission.turn_request import TurnRequest
from chat.catalogue import Catalogue, Model
from chat.errors import ConversationNotFound, Erased, IdempotencyKeyReused, ModelNotFound, TurnInProgress, TurnNotFound
from chat.generation import Prompt
from chat.model import IdempotencyKey, Reservation, Turn
from chat.running.readers import TurnReaders
from chat.running.runner import TurnJob
from chat.running.supervisor import Supervisor
from chat.running.turn_updates import TurnFinished, TurnUpdate
from chat.turn_store import BudgetExceeded, TurnRefused, TurnStore
from parley.errors import DependencyUnavailable, Draining, FieldError, Overloaded, ValidationFailed

log = structlog.get_logger()

ATTEMPTS = 5
CANCEL_WAIT = 2.0


@dataclass(frozen=True, slots=True)
class OpenedTurn:
    """A turn to follow; ``replayed`` when an earlier request with the same key had opened it."""

    turn: Turn
    replayed: bool = False


class ChatService:
    """The use cases of chat."""

    def __init__(
        self,
        *,
        store: TurnStore,
        catalogue: Catalogue,
        placement: PositionResolver,
        contexts: ContextLoader,
        budgets: Budgets,
        meter: TokenLimits,
        supervisor: Supervisor,
        readers: TurnReaders,
        turn_timeout: float,
        draining: asyncio.Event,
        cache: ResponseCache | None = None,
    ) -> None:
        self._store, self._catalogue, self._placement, self._contexts = store, catalogue, placement, contexts
        self._budgets, self._meter, self._supervisor, self._readers = budgets, meter, supervisor, readers
        self._turn_timeout, self._draining = timedelta(seconds=turn_timeout), draining
        self._cache = cache

    async def open(self, ask: TurnRequest) -> OpenedTurn:
        """Admit a turn and start it, or find the one its idempotency key belongs to.

        Once begun this goes on, even if the request is cancelled meanwhile.
        """
        if self._draining.is_set():
            raise Draining
        return await self._supervisor.run_to_completion(self._open(ask))

    async def _open(self, ask: TurnRequest) -> OpenedTurn:
        model = self._catalogue.find(ask.model)
        if not self._budgets.plan(ask.plan).allows(model.alias):
            raise ModelNotFound
        _check_output_limit(ask, model)
        if ask.key is not None:
            holder = await self._store.find_key(ask.user_id, ask.key.route, ask.key.key)
            if holder is not None:
                return await self._replay(holder.turn_id, holder.body_hash, ask.key)
        self._supervisor.require_capacity()
        for _ in range(ATTEMPTS):
            with contextlib.suppress(TurnRefused, BudgetExceeded):
                return await self._admit(ask, model)
            await self._diagnose(ask)
        raise Overloaded

    async def _admit(self, ask: TurnRequest, model: Model) -> OpenedTurn:
        place = await self._placement.find(ask)
        context = await self._context(ask, model, place)
        plan = self._budgets.plan(ask.plan)
        reservation, prompt = await self._budgeted(ask, model, context)
        await self._meter.admit(ask.user_id, plan, context.prompt_tokens)
        new = new_turn(ask, model, place, context, reservation, self._turn_timeout)
        lookup = self._cache.lookup(ask, model, prompt) if self._cache is not None else None
        admission = await self._store.admit(new, self._supervisor.runner_id, ask.key)
        if admission.turn_id != new.id:
            assert ask.key is not None
            return await self._replay(admission.turn_id, admission.body_hash, ask.key)
        turn = running(new, admission, self._supervisor.runner_id)
        models = self._catalogue.with_fallbacks(model)
        capped = prompt.max_tokens < context.max_tokens
        self._supervisor.start(
            TurnJob(turn, models, prompt, capped, lambda ended: self._meter.settle(ended, plan), lookup)
        )
        return OpenedTurn(turn)

    async def _budgeted(self, ask: TurnRequest, model: Model, context: PromptContext) -> tuple[Reservation, Prompt]:
        granted = await self._budgets.reserve(
            ask.user_id, ask.plan, model, prompt_tokens=context.prompt_tokens, max_tokens=context.max_tokens
        )
        temperature = model.temperature if ask.temperature is None else ask.temperature
        return granted.reservation, Prompt(context.messages, granted.max_tokens, temperature, ask.options)

    async def _context(self, ask: TurnRequest, model: Model, place: TurnPosition) -> PromptContext:
        if ask.messages is not None:
            return ask.own_context(model)
        past = EarlierExchanges()
        if place.parent_id is not None and ask.conversation_id is not None:
            past = await self._contexts.before(
                ask.conversation_id,
                place.parent_id,
                token=ask.token,
                window=model.context_window,
                certain=place.parent_certain,
            )
        return fit(past, place.message, system_prompt=place.system_prompt, model=model, max_tokens=ask.max_tokens)

    async def _diagnose(self, ask: TurnRequest) -> None:
        """Raise why an admission was refused; return when it may succeed now."""
        if await self._store.is_erased(ask.user_id):
            raise Erased
        if ask.conversation_id is None:
            return
        known = await self._store.conversation(ask.conversation_id)
        if known is None:
            return
        if known.user_id != ask.user_id or known.deleted:
            raise ConversationNotFound
        if known.running_turn_id is not None:
            raise TurnInProgress(known.running_turn_id)

    async def _replay(self, turn_id: UUID, body_hash: bytes | None, key: IdempotencyKey) -> OpenedTurn:
        if body_hash is not None and body_hash != key.body_hash:
            raise IdempotencyKeyReused
        turn = await self._store.get(turn_id)
        if turn is None:
            raise ConversationNotFound
        return OpenedTurn(turn, replayed=True)

    async def get(self, user_id: UUID, turn_id: UUID | None) -> Turn:
        """Return a person's turn; raises TurnNotFound."""
        turn = await self._store.get(turn_id) if turn_id else None
        if turn is None or turn.user_id != user_id:
            raise TurnNotFound
        return turn

    async def list_turns(
        self, user_id: UUID, *, conversation_id: UUID | None, status: str | None, before: UUID | None, limit: int
    ) -> list[Turn]:
        """Return a person's turns, newest first."""
        return await self._store.list_turns(
            user_id, conversation_id=conversation_id, status=status, before=before, limit=limit
        )

    async def last_seq(self, turn: Turn) -> int:
        """Return the seq of the newest event of a turn."""
        return await self._readers.last_seq(turn)

    def follow(self, turn: Turn, after: int, *, quiet: float) -> AsyncGenerator[TurnUpdate, None]:
        """Yield what happens in a turn behind a cursor; raises InvalidCursor."""
        return self._readers.follow(turn, after, quiet=quiet)

    async def cancel(self, user_id: UUID, turn_id: UUID | None) -> Turn:
        """Ask for the end of a turn and wait for it a little; returns it as it then is."""
        turn = await self.get(user_id, turn_id)
        if turn.running:
            await self.request_cancel(turn)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_WAIT):
                    return await self.ended(turn) or turn
        return turn

    async def request_cancel(self, turn: Turn) -> None:
        """Ask for the end of a turn, wherever it runs."""
        self._supervisor.stop(turn.id, "cancelled")
        await self._store.request_cancel(turn.id)
        await self._readers.publish_cancellation(turn.id)

    async def abandon(self, turn: Turn) -> None:
        """End a turn whose client left, unless somebody else is reading it, or may be: an answer is worth more."""
        if not await self._readers.has_readers(turn.id):
            with contextlib.suppress(DependencyUnavailable):
                await self.request_cancel(turn)

    async def ended(self, turn: Turn) -> Turn | None:
        """Wait for the end of a turn; None when it cannot be learnt at present."""
        if not turn.running:
            return turn
        with contextlib.suppress(DependencyUnavailable):
            async with contextlib.aclosing(self.follow(turn, 1, quiet=3600)) as steps:
                async for step in steps:
                    if isinstance(step, TurnFinished):
                        return step.turn
        return None


def _check_output_limit(ask: TurnRequest, model: Model) -> None:
    if ask.max_tokens is not None and ask.max_tokens > model.max_output_tokens and not ask.lenient:
        detail = f"At most {model.max_output_tokens} for this model."
        raise ValidationFailed([FieldError("/max_tokens", "less_than_equal", detail)])
