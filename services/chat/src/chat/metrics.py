"""Metrics of turns and provider calls."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from chat.model import Outcome
from parley.observability.metric_aliases import CounterAlias
from parley.observability.metrics import DURATION_BUCKETS

GAP_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
OUTCOME_LABELS = {"completed": "completed", "cancelled": "client_cancelled", "failed": "upstream_error"}
OUTCOME_REASONS = frozenset({"deadline", "interrupted", "budget"})
"""Finish reasons that are also outcome labels."""


class InterTokenGaps(Collector):
    """Histogram of the time between tokens, cheaper per observation than the client library's."""

    def __init__(self) -> None:
        self._models: dict[str, ModelTokenGaps] = {}

    def for_model(self, model: str) -> "ModelTokenGaps":
        """Return the histogram of one model."""
        return self._models.setdefault(model, ModelTokenGaps())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the histogram of every model."""
        family = HistogramMetricFamily(
            "chat_stream_inter_token_seconds", "Time between consecutive tokens of an answer.", labels=["model"]
        )
        for model, gaps in list(self._models.items()):
            bounds = [*map(floatToGoString, GAP_BUCKETS), "+Inf"]
            family.add_metric([model], list(zip(bounds, accumulate(gaps.counts), strict=True)), gaps.total)
        yield family


class ModelTokenGaps:
    """Histogram of one model."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(GAP_BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one interval, in seconds."""
        self.counts[bisect_left(GAP_BUCKETS, seconds)] += 1
        self.total += seconds


class ChatMetrics:
    """Metrics of one app. Label values come from the catalogue and from closed sets."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.first_token = Histogram(
            "chat_stream_time_to_first_token_seconds",
            "Time from admission to the first token.",
            ["model"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.inter_token = InterTokenGaps()
        registry.register(self.inter_token)
        self.duration = Histogram(
            "chat_stream_duration_seconds",
            "Time from admission to the end of the turn.",
            ["model", "outcome"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.tokens = Counter(
            "chat_tokens_total", "Tokens of ended turns, by input and output.", ["model", "type"], registry=registry
        )
        self.cost = Counter(
            "chat_cost_usd_total",
            "Cost of ended turns in US dollars, for models with a price.",
            ["model"],
            registry=registry,
        )
        self.provider_calls = Counter(
            "chat_provider_calls_total",
            "Provider calls by outcome: answered, refused by an open circuit breaker, or an error code.",
            ["model", "outcome"],
            registry=registry,
        )
        _register_aliases(registry, self.tokens, self.provider_calls)
        self.running = Gauge("chat_turns_running", "Turns running in this process.", registry=registry)
        self.recovered = Counter(
            "chat_turns_recovered_total", "Turns recovered from failed runners.", registry=registry
        )
        self.republished = Counter(
            "chat_turns_republished_total", "Turns republished because history had not stored them.", registry=registry
        )
        self.cache_lookups = Counter(
            "chat_answer_cache_lookups_total",
            "Response cache lookups by result: hit, miss or error.",
            ["result"],
            registry=registry,
        )
        self.replication_failures = Counter(
            "chat_log_copy_failures_total", "Failed appends to replicated turn logs.", registry=registry
        )

    def record_end(self, model: str, outcome: Outcome, seconds: float) -> None:
        """Record the outcome, the duration in seconds and the usage of an ended turn."""
        reason = outcome.finish_reason
        name = reason if reason in OUTCOME_REASONS else OUTCOME_LABELS.get(outcome.status, "upstream_error")
        self.duration.labels(model, name).observe(seconds)
        self.record_usage(model, outcome)

    def record_usage(self, model: str, outcome: Outcome) -> None:
        """Record the tokens and the cost of a turn."""
        self.tokens.labels(model, "input").inc(outcome.usage.prompt_tokens)
        self.tokens.labels(model, "output").inc(outcome.usage.completion_tokens)
        if outcome.cost:
            self.cost.labels(model).inc(float(outcome.cost))

    def record_call(self, model: str, outcome: str) -> None:
        """Record the outcome of a provider call."""
        self.provider_calls.labels(model, outcome).inc()


def _register_aliases(registry: CollectorRegistry, tokens: Counter, provider_calls: Counter) -> None:
    registry.register(
        CounterAlias(tokens, "openai_tokens_used", "Tokens of ended turns.", {"model": "model", "type": "type"})
    )
    registry.register(
        CounterAlias(provider_calls, "openai_api_calls", "Provider calls.", {"model": "model", "outcome": "status"})
    )
