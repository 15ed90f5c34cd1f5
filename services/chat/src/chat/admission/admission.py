"""Admission of turns: idempotency key, model, position, context, budget and token limit, in this order."""

import contextlib
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from chat.admission.budgets import Budgets
from chat.admission.context_window import (
    ContextLoader,
    EarlierExchanges,
    NewInput,
    PromptContext,
    client_context,
    fit,
)
from chat.admission.fallbacks import FallbackReservations, terms_of, usable
from chat.admission.file_contents import Message
from chat.admission.new_turn import admitted_turn, new_turn
from chat.admission.plans import ChatPlan
from chat.admission.position import PositionResolver, TurnPosition, require_accepts_turn, require_owner
from chat.admission.prompt_files import PromptFiles
from chat.admission.response_cache import ResponseCache
from chat.admission.token_limits import TokenLimits
from chat.admission.turn_job import TurnJob
from chat.admission.turn_request import TurnRequest
from chat.admission.unpaid_contexts import ContextReading, UnpaidContexts
from chat.catalogue import EMBEDDINGS, Catalogue, Model
from chat.errors import ConversationNotFound, Erased
from chat.input_items import messages_of_input
from chat.model import IdempotencyKey, NewTurn, Turn
from chat.turn_store import AdmissionResult, BudgetExceeded, CopiesOutdated, TurnRefused, TurnStore
from parley.errors import InvalidRequest, Overloaded, ValidationFailed
from parley.field_errors import FieldError
from parley.web.idempotency_keys import IdempotencyKeyReused

MAX_ATTEMPTS = 5
NO_ANSWER = "The model only makes embeddings. Send it to `POST /v1/embeddings`, or use another model."
NO_EMBEDDINGS = "The model makes no embeddings. Use one with the capability `embeddings` of `GET /api/v1/models`."
NO_TOOLS = "The model may answer without a call: it has no capability `tools`. Send `auto`, or use another model."


def require_support(request: TurnRequest, model: Model) -> None:
    """Raise InvalidRequest if the model answers otherwise than with text or embeddings, as the request asks.

    Raise ValidationFailed if the model does not take a parameter, or cannot be made to call a tool.
    """
    if (request.embedding is not None) != (EMBEDDINGS in model.capabilities):
        detail = NO_ANSWER if request.embedding is None else NO_EMBEDDINGS
        raise InvalidRequest(errors=[FieldError("/model", "unsupported", detail)])
    for name in request.options:
        if name not in model.parameters:
            raise ValidationFailed([FieldError(f"/{name}", "unsupported", "The model does not take this parameter.")])
    if "tools" in request.capabilities and "tools" not in model.capabilities:
        raise ValidationFailed([FieldError("/tool_choice", "unsupported", NO_TOOLS)])


class TurnAdmission:
    """Admits turns, or finds the earlier turn of a repeated request."""

    def __init__(
        self,
        *,
        store: TurnStore,
        catalogue: Catalogue,
        positions: PositionResolver,
        contexts: ContextLoader,
        budgets: Budgets,
        token_limits: TokenLimits,
        turn_timeout: float,
        files: PromptFiles,
        cache: ResponseCache | None = None,
    ) -> None:
        self._store, self._catalogue, self._positions, self._contexts = store, catalogue, positions, contexts
        self._budgets, self._token_limits, self._cache = budgets, token_limits, cache
        self._files, self._unpaid = files, UnpaidContexts(token_limits)
        self._turn_timeout = timedelta(seconds=turn_timeout)

    def plan(self, request: TurnRequest) -> ChatPlan:
        """Return the plan of a request's user."""
        return self._budgets.plan(request.plan)

    def select_model(self, request: TurnRequest) -> Model:
        """Return the model of a request; raises ModelNotFound, ProviderUnavailable and ValidationFailed."""
        model = self._catalogue.find(request.model, self.plan(request).allows)
        if request.max_tokens is not None and request.max_tokens > model.max_output_tokens and not request.lenient:
            detail = f"At most {model.max_output_tokens} for this model."
            raise ValidationFailed([FieldError("/max_tokens", "less_than_equal", detail)])
        require_support(request, model)
        return model

    async def with_files(self, user_id: UUID, messages: list[Message], model: Model) -> list[Message]:
        """Return messages with the texts of their files; raises as ``PromptFiles`` does."""
        contents = await self._files.contents(user_id, messages, model)
        return messages if contents is None else [contents.in_message(message) for message in messages]

    async def find_replay(self, key: IdempotencyKey | None) -> Turn | None:
        """Return the earlier turn of an idempotency key, None without one.

        Raises IdempotencyKeyReused if the earlier request had a different body.
        """
        if key is None:
            return None
        record = await self._store.find_key(key.user_id, key.route, key.key)
        return await self._replay(record.turn_id, record.body_hash, key) if record is not None else None

    async def admit(self, request: TurnRequest, model: Model, runner_id: UUID, turn_id: UUID) -> TurnJob | Turn:
        """Store the turn and return its job, or the turn of a concurrent request with the same idempotency key.

        Raises what the files, the position, the context, the budget and the token limit raise, Erased, CopiesOutdated
        if items were deleted since ``copied_from`` was read, and Overloaded if concurrent changes of the conversation
        win every attempt.
        """
        request = await self._files.prepared(request, model)
        for _ in range(MAX_ATTEMPTS):
            with contextlib.suppress(TurnRefused, BudgetExceeded):
                return await self._admit(request, model, runner_id, turn_id)
            await self._diagnose(request)
        raise Overloaded

    async def _admit(self, request: TurnRequest, model: Model, runner_id: UUID, turn_id: UUID) -> TurnJob | Turn:
        copied_from, plan = await self._copied_from(request), self.plan(request)
        async with self._reading(request, plan) as reading:
            position = await self._positions.find(request)
            context = await self._context(request, model, position, reading)
            reading.tokens = max(reading.tokens, context.prompt_tokens)
            grant = await self._budgets.reserve(
                request.user_id, request.plan, model, prompt_tokens=context.prompt_tokens, max_tokens=context.max_tokens
            )
            terms = terms_of(request, context, model, grant.max_tokens, context.max_tokens)
            quota = await self._token_limits.admit(request.user_id, plan, context.prompt_tokens)
        new = new_turn(turn_id, request, model, position, context, grant.reservation, self._turn_timeout, copied_from)
        lookup = self._cache.lookup(request, model, terms.prompt) if self._cache is not None else None
        result = await self._stored(new, runner_id, request.key, plan)
        if result.turn_id != new.id:
            assert request.key is not None
            return await self._replay(result.turn_id, result.body_hash, request.key)
        turn = admitted_turn(new, result, runner_id)
        fallbacks = usable(self._catalogue.with_fallbacks(model)[1:], request, context, plan)
        reservations = FallbackReservations(self._store, self._budgets, request, context, turn, grant.reservation)
        return TurnJob(
            turn,
            [model, *fallbacks],
            terms,
            reservations.reserve,
            settle=lambda ended: self._token_limits.settle(ended, plan),
            cache_lookup=lookup,
            token_quota=quota,
            embedding=request.embedding,
        )

    def _reading(self, request: TurnRequest, plan: ChatPlan) -> contextlib.AbstractAsyncContextManager[ContextReading]:
        """Return the context in which a request reads what is stored. What it carries itself is not counted."""
        if request.messages is not None or (request.context_of is None and request.conversation_id is None):
            return contextlib.nullcontext(ContextReading())
        return self._unpaid.reading(request.user_id, plan)

    async def _stored(
        self, new: NewTurn, runner_id: UUID, key: IdempotencyKey | None, plan: ChatPlan
    ) -> AdmissionResult:
        """Store a turn. If none is stored, or the one of another request, the tokens of the prompt are returned."""
        result: AdmissionResult | None = None
        try:
            result = await self._store.admit(new, runner_id, key)
        finally:
            if result is None or result.turn_id != new.id:
                await self._token_limits.release(new.user_id, plan, new.prompt_tokens)
        return result

    async def _copied_from(self, request: TurnRequest) -> dict[UUID, int]:
        """Return the conversations that the turn has texts of. It is read before the texts of its context are."""
        if request.context_of is None:
            return request.copied_from
        source = await self._store.conversation(request.context_of[0])
        if source is None:
            raise ConversationNotFound
        require_owner(source, request.user_id)
        return {source.id: source.item_deletions, **request.copied_from}

    async def _context(
        self, request: TurnRequest, model: Model, position: TurnPosition, reading: ContextReading
    ) -> PromptContext:
        if request.embedding is not None:
            return PromptContext([], request.prompt_tokens, 1, "complete", 0)
        if request.messages is not None:
            images = await self._files.images(request.user_id, request.messages)
            return replace(client_context(request, model), images=images)
        past = EarlierExchanges()
        conversation_id, answer_id = request.context_of or (request.conversation_id, position.parent_id)
        if conversation_id is not None and answer_id is not None:
            past = await self._contexts.before(
                conversation_id,
                answer_id,
                user_id=request.user_id,
                window=model.context_window,
                certain=position.parent_certain,
            )
            reading.tokens = past.tokens
        new_messages = request.input_messages or messages_of_input(position.response)
        files = await self._files.in_context(request.user_id, past, new_messages, model)
        fitted = fit(
            files.past,
            NewInput(
                position.message,
                position.tool_results,
                position.continues,
                files.messages,
                request.options,
            ),
            system_prompt=position.system_prompt or model.system_prompt,
            model=model,
            max_tokens=request.max_tokens,
            trims=request.trims,
        )
        return replace(fitted, images=files.images)

    async def _diagnose(self, request: TurnRequest) -> None:
        """Raise the reason of a refused admission; return if another attempt may succeed."""
        if await self._store.is_erased(request.user_id):
            raise Erased
        for conversation_id, item_deletions in request.copied_from.items():
            source = await self._store.conversation(conversation_id)
            if source is None or source.deleted or source.item_deletions != item_deletions:
                raise CopiesOutdated
        if request.conversation_id is None:
            return
        conversation = await self._store.conversation(request.conversation_id)
        if conversation is not None:
            require_accepts_turn(conversation, request.user_id)

    async def _replay(self, turn_id: UUID, body_hash: bytes | None, key: IdempotencyKey) -> Turn:
        if body_hash is not None and body_hash != key.body_hash:
            raise IdempotencyKeyReused
        turn = await self._store.get(turn_id)
        if turn is None:
            raise ConversationNotFound
        return turn
