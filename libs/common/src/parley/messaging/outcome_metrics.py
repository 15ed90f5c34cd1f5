"""Metrics of the events that a service has consumed."""

import functools
from datetime import UTC, datetime

from parley.observability.metrics import Metrics
from parley_events.cloudevents import CloudEvent
from parley_events.consuming.dispatcher import Outcome, OutcomeObserver


def outcome_observer(metrics: Metrics, queue: str) -> OutcomeObserver:
    """Return a callable that counts the outcomes of a queue's events, and records how late they are handled."""
    # Create the series with the value 0: Prometheus sees no increase when a series appears with the value 1.
    counter = functools.cache(functools.partial(metrics.events_consumed.labels, queue))
    counter("dead")
    lag = functools.cache(functools.partial(metrics.consumer_lag.labels, queue))

    def observe(outcome: Outcome, event: CloudEvent | None) -> None:
        counter(outcome).inc()
        if event is not None and outcome == "handled":
            age = (datetime.now(UTC) - event.time).total_seconds()
            lag().set(max(0.0, age))

    return observe
