"""Answer generator over the model providers, with retries, fallback, circuit breakers and call slots."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import aiohttp

from chat.catalogue import Model
from chat.generation import AnswerChunk, AnswerGenerator, ChunkSink, EmbeddingCall, ModelSelected, PromptFor, Provider
from chat.metrics import ChatMetrics
from chat.providers.call_slots import CallSlots
from chat.providers.circuit_breaker import CircuitBreakers
from chat.providers.embeddings import EmbeddingProvider
from chat.providers.http_provider import HttpProvider, open_session
from chat.providers.retry_and_fallback import FallbackGenerator
from chat.providers.tracing import TracedProvider
from chat.providers.wire_formats import wire_format_of
from chat.settings import ChatSettings
from parley.observability.tracing import Tracer


class FirstModelGenerator:
    """An answer generator without fallbacks: the embeddings of two models cannot be compared."""

    def __init__(self, generator: AnswerGenerator) -> None:
        self._generator, self.is_available = generator, generator.is_available

    def stream(
        self, models: Sequence[Model], prompt_for: PromptFor, sink: ChunkSink | None = None
    ) -> AsyncGenerator[ModelSelected | Sequence[AnswerChunk], None]:
        """Stream the answer of the first model; raises ProviderFailure."""
        return self._generator.stream(models[:1], prompt_for, sink)


class HttpGenerators:
    """The generators of answers and embeddings. Both share connections, call slots and circuit breakers."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: ChatSettings,
        metrics: ChatMetrics,
        tracer: Tracer | None,
    ) -> None:
        self._session, self._settings, self._tracer = session, settings, tracer
        self._slots = CallSlots()
        self._usage_option_refused: set[str] = set()
        retries = settings.openai_max_retries
        self.answers = FallbackGenerator(self._answering, CircuitBreakers(), metrics, max_retries=retries)

    def embedding(self, call: EmbeddingCall) -> AnswerGenerator:
        """Return a generator that puts the embeddings into the call."""

        def embedding(model: Model) -> Provider:
            timeout = self._timeout(model)
            provider = EmbeddingProvider(self._session, model.target, call, timeout=timeout)
            return self._limited(provider, model, "embeddings")

        return FirstModelGenerator(self.answers.with_providers(embedding))

    def _answering(self, model: Model) -> Provider:
        provider = HttpProvider(
            self._session,
            model.target,
            wire_format_of(model.target),
            timeout=self._timeout(model),
            usage_option_refused=self._usage_option_refused,
        )
        return self._limited(provider, model)

    def _timeout(self, model: Model) -> float:
        return model.target.timeout or self._settings.openai_timeout

    def _limited(self, provider: Provider, model: Model, operation: str = "chat") -> Provider:
        provider = self._slots.limit(provider, model.target, timeout=self._timeout(model))
        return provider if self._tracer is None else TracedProvider(provider, model, self._tracer, operation)


@contextlib.asynccontextmanager
async def open_generators(
    settings: ChatSettings, metrics: ChatMetrics, tracer: Tracer | None = None
) -> AsyncIterator[HttpGenerators]:
    """Open the clients of the model providers."""
    async with open_session(settings.max_running_turns) as session:
        yield HttpGenerators(session, settings, metrics, tracer)
