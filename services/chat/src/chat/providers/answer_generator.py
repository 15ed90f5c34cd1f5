"""Answer generator over the model providers, with retries, fallback, circuit breakers and call slots."""

import contextlib
from collections.abc import AsyncIterator

from chat.catalogue import Model
from chat.generation import AnswerGenerator, Provider
from chat.metrics import ChatMetrics
from chat.providers.call_slots import CallSlots
from chat.providers.circuit_breaker import CircuitBreakers
from chat.providers.http_provider import HttpProvider, open_session
from chat.providers.retry_and_fallback import FallbackGenerator
from chat.providers.tracing import TracedProvider
from chat.providers.wire_formats import wire_format_of
from chat.settings import ChatSettings
from parley.observability.tracing import Tracer


@contextlib.asynccontextmanager
async def open_generator(
    settings: ChatSettings, metrics: ChatMetrics, tracer: Tracer | None = None
) -> AsyncIterator[AnswerGenerator]:
    """Open the clients of the model providers."""
    slots = CallSlots()
    async with open_session(settings.max_running_turns) as session:

        def provider_of(model: Model) -> Provider:
            timeout = model.target.timeout or settings.openai_timeout
            provider: Provider = HttpProvider(session, model.target, wire_format_of(model.target), timeout=timeout)
            provider = slots.limit(provider, model.target, timeout=timeout)
            return provider if tracer is None else TracedProvider(provider, model, tracer)

        yield FallbackGenerator(provider_of, CircuitBreakers(), metrics, max_retries=settings.openai_max_retries)
