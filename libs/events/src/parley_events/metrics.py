"""Metrics of a subscriber for Prometheus (extra `prometheus`)."""

from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from parley_events.cloudevents import CloudEvent
from parley_events.consuming.dispatcher import Outcome

_families: WeakKeyDictionary[CollectorRegistry, tuple[Counter, Gauge]] = WeakKeyDictionary()


class SubscriberMetrics:
    """Counts the outcomes of a subscriber's events and measures its lag; pass it as ``on_outcome``.

    The subscribers of a process share the metrics of a registry: their label ``queue`` tells them apart.
    """

    def __init__(self, queue: str, registry: CollectorRegistry = REGISTRY) -> None:
        outcomes, lag = _families.get(registry) or _register(registry)
        # The series exist from the start: Prometheus sees no increase when one appears with the value 1.
        self._outcomes = {each: outcomes.labels(queue, each) for each in ("handled", "retried", "dead")}
        self._lag = lag.labels(queue)

    def __call__(self, outcome: Outcome, event: CloudEvent | None) -> None:
        """Count the outcome of an attempt."""
        self._outcomes[outcome].inc()
        if outcome == "handled" and event is not None:
            self._lag.set(max(0.0, (datetime.now(UTC) - event.time).total_seconds()))


def _register(registry: CollectorRegistry) -> tuple[Counter, Gauge]:
    outcomes = Counter(
        "parley_events_outcomes",
        "Attempts at events by outcome: handled, retried (failed, to be tried again), or dead.",
        ["queue", "outcome"],
        registry=registry,
    )
    lag = Gauge(
        "parley_events_lag_seconds", "Age of the last handled event when it was handled.", ["queue"], registry=registry
    )
    _families[registry] = outcomes, lag
    return outcomes, lag
