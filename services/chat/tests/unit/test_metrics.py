"""Metrics of turns, token gaps and provider calls."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from chat.catalogue import Model, Target
from chat.errors import ProviderFailure, ProviderTimeout
from chat.generation import AnswerChunk, ChunkSink, Prompt
from chat.metrics import ChatMetrics
from chat.model import LogEntry, Outcome
from chat.providers.circuit_breaker import FAILURE_THRESHOLD, CircuitBreakers
from chat.providers.failures import AttemptFailed
from chat.providers.retry_and_fallback import FallbackGenerator
from parley import times
from parley_events.parts import Usage

SMALL = Model("small", "small-1", "Small", "fake", Target("http://127.0.0.1:9", None), 4096, 512)
COMPLETED = Outcome(
    status="completed",
    finish_reason="stop",
    entries=(),
    content="",
    tool_calls=None,
    usage=Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10),
    cost=Decimal("0.25"),
    price_version="test",
    provider="fake",
    provider_model="small-1",
    error=None,
    finished_at=times.now(),
)


class Scripted:
    """A provider whose next calls do what the script says."""

    def __init__(self, script: Sequence[Exception | None]) -> None:
        self._script = list(script)

    async def stream(
        self, _model: str, _prompt: Prompt, _sink: ChunkSink | None = None
    ) -> AsyncGenerator[Sequence[AnswerChunk], None]:
        failure = self._script.pop(0)
        if failure is not None:
            raise failure
        yield [AnswerChunk(entry=LogEntry(text="yes"))]


async def ask(retrying: FallbackGenerator) -> None:
    async def prompt_for(_model: Model) -> Prompt:
        return Prompt(messages=[], max_tokens=1)

    async for _ in retrying.stream([SMALL], prompt_for):
        pass


def calls(registry: CollectorRegistry, outcome: str) -> float | None:
    return registry.get_sample_value("chat_provider_calls_total", {"model": "small", "outcome": outcome})


def test_inter_token_times_are_a_histogram_per_model() -> None:
    registry = CollectorRegistry()
    gaps = ChatMetrics(registry).inter_token.for_model("small")
    for seconds in (0.0, 0.05, 0.07, 60.0):
        gaps.observe(seconds)

    def bucket(bound: str) -> float | None:
        labels = {"model": "small", "le": bound}
        return registry.get_sample_value("chat_stream_inter_token_seconds_bucket", labels)

    assert [bucket("0.001"), bucket("0.05"), bucket("0.1"), bucket("30.0"), bucket("+Inf")] == [1, 2, 3, 3, 4]
    assert registry.get_sample_value("chat_stream_inter_token_seconds_count", {"model": "small"}) == 4
    assert registry.get_sample_value("chat_stream_inter_token_seconds_sum", {"model": "small"}) == 60.12


def test_an_ended_turn_counts_its_tokens_and_its_cost() -> None:
    registry = CollectorRegistry()
    metrics = ChatMetrics(registry)
    metrics.record_end("small", COMPLETED, 1.0)
    metrics.record_usage("small", replace(COMPLETED, cost=None))

    def tokens(kind: str) -> float | None:
        return registry.get_sample_value("chat_tokens_total", {"model": "small", "type": kind})

    assert (tokens("input"), tokens("output")) == (14, 6)
    assert registry.get_sample_value("chat_cost_usd_total", {"model": "small"}) == 0.25


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [
        ("completed", "stop", "completed"),
        ("cancelled", "cancelled", "client_cancelled"),
        ("failed", "error", "upstream_error"),
        ("incomplete", "error", "upstream_error"),
        ("incomplete", "deadline", "deadline"),
        ("incomplete", "interrupted", "interrupted"),
        ("incomplete", "budget", "budget"),
    ],
)
def test_the_outcome_label_follows_the_status_and_the_finish_reason(status: Any, reason: str, outcome: str) -> None:
    registry = CollectorRegistry()
    ChatMetrics(registry).record_end("small", replace(COMPLETED, status=status, finish_reason=reason), 1.0)

    labels = {"model": "small", "outcome": outcome}
    assert registry.get_sample_value("chat_stream_duration_seconds_count", labels) == 1


async def test_each_provider_call_is_counted_by_its_outcome() -> None:
    registry = CollectorRegistry()
    script = [AttemptFailed(ProviderTimeout(retry_after=0), retryable=True), None]
    provider = Scripted(script)
    await ask(FallbackGenerator(lambda _: provider, CircuitBreakers(), ChatMetrics(registry), max_retries=1))

    assert (calls(registry, "provider_timeout"), calls(registry, "answered")) == (1, 1)


async def test_a_call_refused_by_an_open_breaker_is_counted_as_refused() -> None:
    registry, breakers = CollectorRegistry(), CircuitBreakers()
    for _ in range(FAILURE_THRESHOLD):
        breakers.for_target(SMALL.target.base_url).failed()
    with pytest.raises(ProviderFailure):
        await ask(FallbackGenerator(lambda _: Scripted([]), breakers, ChatMetrics(registry), max_retries=0))

    assert calls(registry, "refused") == 1


def test_calls_and_tokens_are_also_under_the_names_of_other_products() -> None:
    registry = CollectorRegistry()
    metrics = ChatMetrics(registry)
    metrics.record_call("small", "answered")
    metrics.record_usage("small", COMPLETED)
    value = registry.get_sample_value
    assert value("openai_api_calls_total", {"model": "small", "status": "answered"}) == 1
    assert value("openai_tokens_used_total", {"model": "small", "type": "input"}) == 7
    assert value("openai_tokens_used_total", {"model": "small", "type": "output"}) == 3
