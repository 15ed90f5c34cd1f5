"""Model servers, and what they are asked."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chat.catalogue import Model
from chat.model import LogEntry
from parley_events.models import Usage


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a provider is asked: messages and options on OpenAI's wire."""

    messages: Sequence[dict[str, Any]]
    max_tokens: int
    temperature: float | None = None
    options: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AnswerChunk:
    """What a provider says at one time; the last one has ``finish_reason``, and usage if the provider counts."""

    entry: LogEntry | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    response_model: str | None = None
    """Which model the provider says has answered; comes with the usage."""


class Provider(Protocol):
    """A model server."""

    def stream(self, provider_model: str, prompt: Prompt) -> AsyncGenerator[Sequence[AnswerChunk], None]:
        """Yield the answer, pieces that came together at once; raises ProviderFailure. Closing it ends the call."""
        ...


@dataclass(frozen=True, slots=True)
class ModelSelected:
    """Which model has begun to answer."""

    model: Model


class AnswerGenerator(Protocol):
    """Whoever answers prompts (see ``chat.providers.retry_and_fallback``)."""

    def stream(
        self, models: Sequence[Model], prompt: Prompt
    ) -> AsyncGenerator[ModelSelected | Sequence[AnswerChunk], None]:
        """Yield who answers, then the pieces; raises ProviderFailure."""
        ...
