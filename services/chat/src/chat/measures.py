"""What chat measures of its turns."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from parley.metrics import DURATION_BUCKETS

GAP_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
OUTCOMES = {"completed": "completed", "cancelled": "client_cancelled", "failed": "upstream_error"}


class Measures:
    """Histograms and gauges of one app's registry; labels come from the catalogue and closed sets only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.first_token = Histogram(
            "chat_stream_time_to_first_token_seconds",
            "Time from the turn's admission to its first token.",
            ["model"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.inter_token = Histogram(
            "chat_stream_inter_token_seconds",
            "Time between two pieces of an answer.",
            ["model"],
            buckets=GAP_BUCKETS,
            registry=registry,
        )
        self.duration = Histogram(
            "chat_stream_duration_seconds",
            "Time from the turn's admission to its end.",
            ["model", "outcome"],
            buckets=DURATION_BUCKETS,
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

    def ended(self, model: str, status: str, finish_reason: str, seconds: float) -> None:
        """Note how a turn ended and how long it took."""
        outcome = "deadline" if finish_reason == "deadline" else OUTCOMES.get(status, "upstream_error")
        self.duration.labels(model, outcome).observe(seconds)
