"""What chat measures of its turns."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from chat.model import Outcome
from parley.observability.metrics import DURATION_BUCKETS

GAP_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
OUTCOMES = {"completed": "completed", "cancelled": "client_cancelled", "failed": "upstream_error"}
CUT_SHORT = frozenset({"deadline", "interrupted", "budget"})
"""Reasons for which Parley itself ends a turn early: its outcome is called so."""


class InterTokenGaps(Collector):
    """The time between two pieces of an answer: a histogram that costs each piece next to nothing."""

    def __init__(self) -> None:
        self._models: dict[str, ModelTokenGaps] = {}

    def of(self, model: str) -> "ModelTokenGaps":
        """Return the histogram of a model."""
        return self._models.setdefault(model, ModelTokenGaps())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield what was counted."""
        family = HistogramMetricFamily(
            "chat_stream_inter_token_seconds", "Time between two pieces of an answer.", labels=["model"]
        )
        for model, gaps in list(self._models.items()):
            bounds = [*map(floatToGoString, GAP_BUCKETS), "+Inf"]
            family.add_metric([model], list(zip(bounds, accumulate(gaps.counts), strict=True)), gaps.total)
        yield family


class ModelTokenGaps:
    """The gaps in one model's answers."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(GAP_BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one gap."""
        self.counts[bisect_left(GAP_BUCKETS, seconds)] += 1
        self.total += seconds


class ChatMetrics:
    """Histograms and gauges of one app's registry; labels come from the catalogue and closed sets only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.first_token = Histogram(
            "chat_stream_time_to_first_token_seconds",
            "Time from the turn's admission to its first token.",
            ["model"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.inter_token = InterTokenGaps()
        registry.register(self.inter_token)
        self.duration = Histogram(
            "chat_stream_duration_seconds",
            "Time from the turn's admission to its end.",
            ["model", "outcome"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.tokens = Counter(
            "chat_tokens_total", "Tokens of ended turns: input or output.", ["model", "type"], registry=registry
        )
        self.cost = Counter(
            "chat_cost_usd_total", "Cost of ended turns whose model has a price.", ["model"], registry=registry
        )
        self.provider_calls = Counter(
            "chat_provider_calls_total",
            "Calls of providers: answered, refused by an open breaker, or the code of what failed before an answer.",
            ["model", "outcome"],
            registry=registry,
        )
        self.running = Gauge("chat_turns_running", "Turns that this process runs.", registry=registry)
        self.recovered = Counter(
            "chat_turns_recovered_total", "Turns taken over from another runner.", registry=registry
        )
        self.republished = Counter(
            "chat_turns_republished_total", "Turns published again because history lacked them.", registry=registry
        )
        self.cache_lookups = Counter(
            "chat_answer_cache_lookups_total",
            "Questions looked up in the cache of answers: hit, miss, or error when it could not be asked.",
            ["result"],
            registry=registry,
        )
        self.copy_lost = Counter(
            "chat_log_copy_failures_total", "Appends to the copy of a log that failed.", registry=registry
        )

    def ended(self, model: str, outcome: Outcome, seconds: float) -> None:
        """Note how a turn ended, how long it took and what it used."""
        reason = outcome.finish_reason
        name = reason if reason in CUT_SHORT else OUTCOMES.get(outcome.status, "upstream_error")
        self.duration.labels(model, name).observe(seconds)
        self.used(model, outcome)

    def used(self, model: str, outcome: Outcome) -> None:
        """Note the tokens of a turn and what they cost."""
        self.tokens.labels(model, "input").inc(outcome.usage.prompt_tokens)
        self.tokens.labels(model, "output").inc(outcome.usage.completion_tokens)
        if outcome.cost:
            self.cost.labels(model).inc(float(outcome.cost))

    def called(self, model: str, outcome: str) -> None:
        """Note what became of one call of a provider."""
        self.provider_calls.labels(model, outcome).inc()
