"""Fallback models of a turn: those that may answer it, and their reservations."""

from collections.abc import Sequence

import structlog

from chat.admission.budgets import Budgets
from chat.admission.context_window import MIN_ANSWER_TOKENS, PromptContext, answer_room
from chat.admission.plans import ChatPlan
from chat.admission.turn_job import AnswerTerms
from chat.admission.turn_request import TurnRequest
from chat.catalogue import Model
from chat.generation import Prompt
from chat.model import Reservation, Turn
from chat.turn_store import BudgetExceeded, TurnStore
from parley.config.plans import QuotaExceeded
from parley.errors import DependencyUnavailable

log = structlog.get_logger()

REASONING = frozenset({"reasoning_content", "reasoning"})


def usable(fallbacks: Sequence[Model], request: TurnRequest, context: PromptContext, plan: ChatPlan) -> list[Model]:
    """Return the fallbacks that the plan includes, and that take the prompt without leaving anything out."""
    parameters = parameters_of(request)
    return [
        model
        for model in fallbacks
        if plan.allows(model.alias)
        and context.prompt_tokens <= model.context_window - MIN_ANSWER_TOKENS
        and request.capabilities.issubset(model.capabilities)
        and parameters <= model.parameters
    ]


def parameters_of(request: TurnRequest) -> set[str]:
    """Return the parameters that a model must take: the options, and members of messages that some servers refuse."""
    messages = (*(request.messages or ()), *(request.input_messages or ()))
    return set(request.options).union(*(REASONING & message.keys() for message in messages))


def terms_of(request: TurnRequest, context: PromptContext, model: Model, granted: int, wanted: int) -> AnswerTerms:
    """Return the prompt for a model whose answer may have ``granted`` of the ``wanted`` tokens."""
    temperature = model.temperature if request.temperature is None else request.temperature
    prompt = Prompt(context.messages, granted, temperature, request.options, context.images, request.user_id)
    return AnswerTerms(prompt, granted < wanted)


class FallbackReservations:
    """Moves the reservation of one turn to the fallback model that is about to answer it."""

    def __init__(
        self,
        store: TurnStore,
        budgets: Budgets,
        request: TurnRequest,
        context: PromptContext,
        turn: Turn,
        held: Reservation,
    ) -> None:
        self._store, self._budgets, self._request, self._context = store, budgets, request, context
        self._turn, self._held = turn, held

    async def reserve(self, model: Model) -> AnswerTerms | None:
        """Reserve the cost of an answer of the model and return its terms; None if the budget does not allow it."""
        try:
            terms = await self._reserve(model)
        except (QuotaExceeded, BudgetExceeded, DependencyUnavailable) as refused:
            log.info("fallback_skipped", model=model.alias, turn_id=str(self._turn.id), reason=type(refused).__name__)
            return None
        return terms

    async def _reserve(self, model: Model) -> AnswerTerms | None:
        request, context = self._request, self._context
        wanted = answer_room(context.prompt_tokens, request.max_tokens, model)
        grant = await self._budgets.reserve(
            request.user_id,
            request.plan,
            model,
            prompt_tokens=context.prompt_tokens,
            max_tokens=wanted,
            held=self._held,
        )
        if not await self._store.move_reservation(self._turn, model.alias, grant.reservation):
            return None
        self._held = grant.reservation
        return terms_of(request, context, model, grant.max_tokens, wanted)
