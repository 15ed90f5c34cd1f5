"""Spans of provider calls, one per attempt, without message text."""

import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from urllib.parse import urlsplit

from chat.catalogue import Model
from chat.errors import ProviderFailure
from chat.generation import UNUSABLE_USAGE, AnswerChunk, ChunkSink, Prompt, Provider
from chat.providers.failures import AttemptFailed
from parley.observability import tracing
from parley.observability.tracing import Span, SpanKind, Tracer
from parley_events.parts import Usage


class TracedProvider:
    """Provider wrapper that records a span per call."""

    def __init__(self, provider: Provider, model: Model, tracer: Tracer, operation: str = "chat") -> None:
        """Wrap the provider of one model."""
        self._provider, self._model, self._tracer, self._operation = provider, model, tracer, operation

    def stream(
        self, provider_model: str, prompt: Prompt, sink: ChunkSink | None = None
    ) -> AsyncGenerator[Sequence[AnswerChunk], None]:
        """Stream from the wrapped provider; the span ends with the call. A recorded call gives nothing to ``sink``."""
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": self._operation,
            "gen_ai.provider.name": self._model.provider,
            "gen_ai.request.model": provider_model,
            "gen_ai.request.max_tokens": prompt.max_tokens,
            "gen_ai.request.stream": True,
            "server.address": urlsplit(self._model.target.base_url).hostname or "",
        }
        name = f"{self._operation} {provider_model}"
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        if span.is_recording():
            return _traced(span, self._provider.stream(provider_model, prompt))
        return self._provider.stream(provider_model, prompt, sink)


async def _traced(
    span: Span, chunks: AsyncGenerator[Sequence[AnswerChunk], None]
) -> AsyncGenerator[Sequence[AnswerChunk], None]:
    began, waiting = time.perf_counter(), True
    try:
        async with contextlib.aclosing(chunks) as found:
            async for batch in found:
                for chunk in batch:
                    if waiting and chunk.entry is not None:
                        waiting = False
                        span.add_event("first token")
                        span.set_attribute("gen_ai.response.time_to_first_chunk", time.perf_counter() - began)
                    if chunk.entry is None:
                        _set_attributes(span, chunk)
                yield batch
    except AttemptFailed as failed:
        tracing.mark_failed(span, failed.failure.code)
        raise
    except ProviderFailure as failure:
        tracing.mark_failed(span, failure.code)
        raise
    finally:
        span.end()


def _set_attributes(span: Span, chunk: AnswerChunk) -> None:
    if chunk.finish_reason is not None:
        span.set_attribute("gen_ai.response.finish_reasons", [chunk.finish_reason])
    if chunk.response_model is not None:
        span.set_attribute("gen_ai.response.model", chunk.response_model)
    if chunk.usage is not None and chunk.usage != UNUSABLE_USAGE:
        span.set_attributes(_usage_attributes(chunk.usage))


def _usage_attributes(usage: Usage) -> dict[str, int]:
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
