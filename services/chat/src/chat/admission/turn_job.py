"""The result of an admission: an admitted turn and how to run it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from chat.admission.response_cache import CacheLookup
from chat.admission.token_limits import TokenQuota
from chat.catalogue import Model
from chat.generation import AnswerGenerator, Prompt
from chat.model import Turn


@dataclass(frozen=True, slots=True)
class AnswerTerms:
    """The prompt for one model, and whether the budget caps the length of the answer."""

    prompt: Prompt
    capped_by_budget: bool = False


@dataclass(frozen=True, slots=True)
class TurnJob:
    """An admitted turn, the models that may answer it, and the terms for the first one."""

    turn: Turn
    models: Sequence[Model]
    terms: AnswerTerms
    fallback_terms: Callable[[Model], Awaitable[AnswerTerms | None]] | None = None
    """Reserves the cost of a fallback's answer and returns its terms; None if it must not answer."""
    settle: Callable[[Turn], Awaitable[None]] | None = None
    """Called with the turn when its end is stored."""
    cache_lookup: CacheLookup | None = None
    token_quota: TokenQuota | None = None
    embedding: AnswerGenerator | None = None
    """Makes embeddings in place of an answer."""
