"""Metrics of one app: its own registry (apps may share a process), OpenTelemetry's names in Prometheus spelling."""

import asyncio
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from parley.web.lifecycle import Lifecycle

DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
TICK = 1.0
"""Seconds between two looks at the event loop's lag."""


class Metrics:
    """The registry of one app, and what every service measures."""

    def __init__(self, service: str, version: str, git_sha: str) -> None:
        """Make an empty registry and register the common metrics in it."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        self.request_duration = Histogram(
            "http_server_request_duration_seconds",
            "Time from the request's head to the response's last byte.",
            ["http_request_method", "http_route", "http_response_status_code"],
            buckets=DURATION_BUCKETS,
            registry=self.registry,
        )
        self.active_requests = Gauge(
            "http_server_active_requests", "Requests and streams that are open.", registry=self.registry
        )
        self.events_published = Counter(
            "events_published_total", "Events that the broker confirmed.", ["type"], registry=self.registry
        )
        self.events_consumed = Counter(
            "events_consumed_total", "Events handled, by outcome.", ["queue", "outcome"], registry=self.registry
        )
        self.consumer_lag = Gauge(
            "consumer_lag_seconds", "Age of the newest event handled.", ["queue"], registry=self.registry
        )
        self.outbox_pending = Gauge("outbox_pending", "Events that wait to be published.", registry=self.registry)
        self.outbox_lag = Gauge(
            "outbox_lag_seconds", "Age of the oldest event that waits to be published.", registry=self.registry
        )
        self.loop_lag = Histogram(
            "process_event_loop_lag_seconds",
            "How late the event loop's tick was.",
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )
        build = Gauge("build_info", "Always 1.", ["service", "version", "git_sha"], registry=self.registry)
        build.labels(service, version, git_sha).set(1)

    async def watch_loop(self, lifecycle: Lifecycle) -> None:
        """Measure the event loop's lag each second, and note that it turns."""
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            self.loop_lag.observe(max(0.0, time.monotonic() - due))
            lifecycle.last_tick = time.monotonic()
