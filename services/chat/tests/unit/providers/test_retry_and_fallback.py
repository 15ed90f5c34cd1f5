"""Retries and fallbacks before the first token."""

import gc
import weakref
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from chat.catalogue import Model, Target
from chat.errors import ProviderFailure, ProviderRateLimited, ProviderTimeout, ProviderUnavailable
from chat.generation import AnswerChunk, ChunkSink, ModelSelected, Prompt, Provider
from chat.metrics import ChatMetrics
from chat.model import LogEntry
from chat.providers.call_slots import CallSlots
from chat.providers.circuit_breaker import FAILURE_THRESHOLD, CircuitBreakers
from chat.providers.failures import AttemptFailed, from_status
from chat.providers.retry_and_fallback import FallbackGenerator
from chat_testing.turns import MODEL

FALLBACK = Model("fallback", "small-1", "Small", "fake", Target("http://other/v1", None), 4096, 512)
PROMPT = Prompt([{"role": "user", "content": "Hi"}], 10)
RETRYABLE = AttemptFailed(ProviderTimeout(retry_after=0), retryable=True)
FINAL = AttemptFailed(ProviderFailure(), retryable=False)


class ScriptedProvider:
    """A provider whose calls fail as scripted, or answer for None; ``breaks`` ends an answer with a failure."""

    def __init__(self, *script: Exception | None, breaks: bool = False) -> None:
        self._script, self._breaks, self.calls = list(script), breaks, 0

    async def stream(
        self, provider_model: str, prompt: Prompt, sink: ChunkSink | None = None
    ) -> AsyncGenerator[Sequence[AnswerChunk], None]:
        self.calls += 1
        prompt.call.is_open = True
        failure = self._script.pop(0)
        if failure is not None:
            raise failure
        yield [AnswerChunk(LogEntry("yes"))]
        if self._breaks:
            raise ProviderFailure


async def generate(
    provider: ScriptedProvider,
    fallback: ScriptedProvider | None = None,
    *,
    max_retries: int = 1,
    skipped: Sequence[Model] = (),
) -> list[ModelSelected | Sequence[AnswerChunk]]:
    def provider_of(model: Model) -> ScriptedProvider:
        return provider if fallback is None or model is MODEL else fallback

    metrics = ChatMetrics(CollectorRegistry())
    generator = FallbackGenerator(provider_of, CircuitBreakers(), metrics, max_retries=max_retries)
    models = [MODEL] if fallback is None else [MODEL, FALLBACK]

    async def prompt_for(model: Model) -> Prompt | None:
        return PROMPT if model not in skipped else None

    return [item async for item in generator.stream(models, prompt_for)]


async def ask(generator: FallbackGenerator) -> None:
    async def prompt_for(model: Model) -> Prompt:
        return PROMPT

    async for _ in generator.stream([MODEL], prompt_for):
        pass


async def test_a_retryable_failure_is_retried() -> None:
    provider = ScriptedProvider(RETRYABLE, None)
    selected, chunks = await generate(provider)
    assert selected == ModelSelected(MODEL)
    assert chunks == [AnswerChunk(LogEntry("yes"))]
    assert provider.calls == 2


async def test_retries_are_limited_and_the_last_failure_is_raised() -> None:
    provider = ScriptedProvider(RETRYABLE, RETRYABLE, None)
    with pytest.raises(ProviderTimeout):
        await generate(provider)
    assert provider.calls == 2


async def test_a_final_failure_is_not_retried() -> None:
    provider = ScriptedProvider(FINAL, None)
    with pytest.raises(ProviderFailure):
        await generate(provider)
    assert provider.calls == 1


async def test_no_call_is_open_after_a_failure() -> None:
    with pytest.raises(ProviderFailure):
        await generate(ScriptedProvider(FINAL))
    assert not PROMPT.call.is_open


async def test_a_long_retry_after_is_left_to_the_client() -> None:
    provider = ScriptedProvider(AttemptFailed(ProviderRateLimited(retry_after=60), retryable=True), None)
    with pytest.raises(ProviderRateLimited) as failed:
        await generate(provider)
    assert (provider.calls, failed.value.retry_after) == (1, 60)


async def test_the_fallback_answers_if_the_model_fails() -> None:
    selected, _ = await generate(ScriptedProvider(FINAL), ScriptedProvider(None))
    assert selected == ModelSelected(FALLBACK)


async def test_a_failure_after_the_first_token_is_neither_retried_nor_sent_to_a_fallback() -> None:
    provider, fallback = ScriptedProvider(None, breaks=True), ScriptedProvider(None)
    with pytest.raises(ProviderFailure):
        await generate(provider, fallback)
    assert (provider.calls, fallback.calls) == (1, 0)


async def test_a_fallback_without_a_prompt_is_skipped() -> None:
    fallback = ScriptedProvider(None)
    with pytest.raises(ProviderFailure):
        await generate(ScriptedProvider(FINAL), fallback, skipped=[FALLBACK])
    assert fallback.calls == 0


def failing(failed: AttemptFailed, breakers: CircuitBreakers, metrics: ChatMetrics) -> FallbackGenerator:
    return FallbackGenerator(lambda _: ScriptedProvider(failed), breakers, metrics, max_retries=0)


SILENT = AttemptFailed(ProviderTimeout(), retryable=False, server_failed=True)
REFUSED = from_status(400, {}, None)
UNSENT = AttemptFailed(ProviderUnavailable(), retryable=False)


@pytest.mark.parametrize(
    ("last", "is_open"), [(RETRYABLE, True), (SILENT, True), (from_status(522, {}, None), True), (UNSENT, False)]
)
async def test_a_server_that_fails_or_is_silent_opens_its_breaker(last: AttemptFailed, is_open: bool) -> None:
    breakers, metrics = CircuitBreakers(), ChatMetrics(CollectorRegistry())
    for _ in range(FAILURE_THRESHOLD - 1):
        breakers.for_target(MODEL.target.base_url).failed()
    generator = failing(last, breakers, metrics)
    with pytest.raises(ProviderFailure):
        await ask(generator)
    assert generator.is_available(MODEL) is not is_open


async def test_a_server_that_refuses_a_call_works_and_closes_its_breaker() -> None:
    breakers, metrics = CircuitBreakers(), ChatMetrics(CollectorRegistry())
    for failure in [SILENT] * (FAILURE_THRESHOLD - 1) + [REFUSED, SILENT]:
        with pytest.raises(ProviderFailure):
            await ask(failing(failure, breakers, metrics))
    assert failing(SILENT, breakers, metrics).is_available(MODEL)


class Messages(list[dict[str, Any]]):
    """Messages to which a weak reference is possible."""


class ForgetfulProvider:
    """A provider that keeps no prompt while it answers."""

    async def stream(
        self, provider_model: str, prompt: Prompt, sink: ChunkSink | None = None
    ) -> AsyncGenerator[Sequence[AnswerChunk], None]:
        del prompt
        yield [AnswerChunk(LogEntry("yes"))]
        yield [AnswerChunk(LogEntry("yes"))]


async def test_the_prompt_with_its_images_is_not_held_while_the_answer_is_streamed() -> None:
    slots = CallSlots()

    def provider_of(model: Model) -> Provider:
        return slots.limit(ForgetfulProvider(), Target("http://one/v1", None, max_concurrent=1), timeout=5)

    generator = FallbackGenerator(provider_of, CircuitBreakers(), ChatMetrics(CollectorRegistry()), max_retries=1)
    given = list[weakref.ref[Messages]]()

    async def prompt_for(model: Model) -> Prompt | None:
        messages = Messages()
        given.append(weakref.ref(messages))
        return Prompt(messages, 10)

    answer = generator.stream([MODEL], prompt_for)
    assert await anext(answer) == ModelSelected(MODEL)
    gc.collect()
    assert [found() for found in given] == [None]
    await answer.aclose()
