"""Retries and model fallback, both only before the first token."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable, Sequence

import structlog

from chat.catalogue import Model
from chat.errors import ProviderUnavailable
from chat.generation import AnswerChunk, ChunkSink, ModelSelected, Prompt, PromptFor, Provider
from chat.metrics import ChatMetrics
from chat.providers.circuit_breaker import CircuitBreakers, CircuitOpen
from chat.providers.failures import AttemptFailed

log = structlog.get_logger()

FIRST_RETRY_DELAY, MAX_RETRY_DELAY = 0.25, 8.0
MAX_RETRY_AFTER_WAIT = 10
"""Maximum ``Retry-After`` in seconds that is waited for. A longer one is returned to the client."""


class FallbackGenerator:
    """Streams from a model, with its retries and fallbacks."""

    def __init__(
        self,
        provider_of: Callable[[Model], Provider],
        breakers: CircuitBreakers,
        metrics: ChatMetrics,
        *,
        max_retries: int,
    ) -> None:
        self._provider_of, self._breakers, self._max_retries = provider_of, breakers, max_retries
        self._metrics = metrics

    def with_providers(self, provider_of: Callable[[Model], Provider]) -> "FallbackGenerator":
        """Return a generator of other providers on the same servers."""
        return FallbackGenerator(provider_of, self._breakers, self._metrics, max_retries=self._max_retries)

    async def stream(
        self, models: Sequence[Model], prompt_for: PromptFor, sink: ChunkSink | None = None
    ) -> AsyncGenerator[ModelSelected | Sequence[AnswerChunk], None]:
        """Yield the selected model, then its chunks; raises the last ProviderFailure if no model answers."""
        last = AttemptFailed(ProviderUnavailable(), retryable=False)
        for model in models:
            prompt = await prompt_for(model)
            if prompt is None:
                continue
            for attempt in range(self._max_retries + 1):
                try:
                    answer, first = await self._begin(model, prompt, sink)
                except AttemptFailed as failed:
                    last = failed
                    self._metrics.record_call(model.alias, _outcome(failed))
                    if attempt == self._max_retries or not await self._wait_before_retry(failed, attempt):
                        break
                else:
                    self._metrics.record_call(model.alias, "answered")
                    del prompt
                    async with contextlib.aclosing(answer):
                        yield ModelSelected(model)
                        yield first
                        async for chunks in answer:
                            yield chunks
                    return
            del prompt  # the images of two models are never in memory at once
        raise last.failure

    def is_available(self, model: Model) -> bool:
        """Tell whether the breaker of the model's server admits requests."""
        return not self._breakers.for_target(model.target.base_url).is_open

    async def _begin(
        self, model: Model, prompt: Prompt, sink: ChunkSink | None
    ) -> tuple[AsyncGenerator[Sequence[AnswerChunk], None], Sequence[AnswerChunk]]:
        breaker = self._breakers.for_target(model.target.base_url)
        breaker.check()
        answer = self._provider_of(model).stream(model.provider_model, prompt, sink)
        try:
            first = await anext(answer)
        except AttemptFailed as failed:
            prompt.call.is_open = False
            if failed.server_failed:
                breaker.failed()
            elif failed.server_failed is False:
                breaker.succeeded()
            raise
        breaker.succeeded()
        return answer, first

    @staticmethod
    async def _wait_before_retry(failed: AttemptFailed, attempt: int) -> bool:
        wait = failed.failure.retry_after
        if not failed.retryable or (wait or 0) > MAX_RETRY_AFTER_WAIT:
            return False
        longest = min(MAX_RETRY_DELAY, FIRST_RETRY_DELAY * 2**attempt)
        log.info("provider_retried", code=failed.failure.code, attempt=attempt + 1)
        await asyncio.sleep(max(wait or 0, random.uniform(longest / 2, longest)))  # noqa: S311 - jitter
        return True


def _outcome(failed: AttemptFailed) -> str:
    return "refused" if isinstance(failed, CircuitOpen) else failed.failure.code
