"""Prometheus metrics of one service, in a registry of its own because services can share a process."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from parley.observability.metric_aliases import RequestAliases
from parley.process.tasks import incidents

DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """The registry of one service, and the metrics that every service has."""

    def __init__(self, service: str, version: str, git_sha: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        self._add_requests()
        self._add_events()
        self._add_process(service)
        self._export_build(service, version, git_sha)

    def _add_requests(self) -> None:
        self.request_duration = Histogram(
            "http_server_request_duration_seconds",
            "Time from the first byte of the request to the last byte of the response.",
            ["http_request_method", "http_route", "http_response_status_code"],
            buckets=DURATION_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(RequestAliases(self.request_duration))
        self.active_requests = Gauge(
            "http_server_active_requests", "Open requests, including open streams.", registry=self.registry
        )

    def _add_events(self) -> None:
        self.events_published = Counter(
            "events_published_total", "Events that the broker has confirmed.", ["type"], registry=self.registry
        )
        self.publish_failures = Counter(
            "events_publish_failures_total",
            "Events that the broker did not confirm, by type; they are published again.",
            ["type"],
            registry=self.registry,
        )
        self.bus_up = Gauge(
            "bus_up",
            "Whether this process can publish (`publish`) and has a connection to consume (`consume`): 1 or 0.",
            ["side"],
            registry=self.registry,
        )
        self.events_consumed = Counter(
            "events_consumed_total", "Events handled, by outcome.", ["queue", "outcome"], registry=self.registry
        )
        self.consumer_lag = Gauge(
            "consumer_lag_seconds", "Age of the most recently handled event.", ["queue"], registry=self.registry
        )
        self.consumer_up = Gauge(
            "consumer_up", "Whether events of the queue are delivered: 1 or 0.", ["queue"], registry=self.registry
        )
        self.outbox_pending = Gauge(
            "outbox_pending", "Events waiting to be published, at most 10,000.", registry=self.registry
        )
        self.outbox_lag = Gauge(
            "outbox_lag_seconds", "Age of the oldest event waiting to be published.", registry=self.registry
        )

    def _add_process(self, service: str) -> None:
        self.loop_lag = Histogram(
            "process_event_loop_lag_seconds",
            "Delay of the event loop beyond the scheduled time.",
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )
        self.loop_tasks = Gauge(
            "process_event_loop_tasks", "Tasks of the event loop that have not ended.", registry=self.registry
        )
        self.registry.register(IncidentCollector(service))
        self.memory_used = Gauge(
            "process_memory_used_bytes",
            "Memory that counts towards the limit of this process or its container.",
            registry=self.registry,
        )
        self.memory_limit = Gauge(
            "process_memory_limit_bytes",
            "Memory at which the kernel ends this process: the limit of its container, or the memory of the machine.",
            registry=self.registry,
        )

    def _export_build(self, service: str, version: str, git_sha: str) -> None:
        build = Gauge(
            "build_info",
            "Version and commit of the service; always 1.",
            ["service", "version", "git_sha"],
            registry=self.registry,
        )
        build.labels(service, version, git_sha).set(1)


class IncidentCollector(Collector):
    """Exports the incidents of one service's background tasks."""

    def __init__(self, service: str) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Yield the counter."""
        found = CounterMetricFamily(
            "background_task_incidents",
            "Background tasks that failed, ended, or had to be slowed, by task and kind.",
            labels=["task", "kind"],
        )
        for incident, count in list(incidents.items()):
            if incident.service == self._service:
                found.add_metric([incident.task, incident.kind], count)
        yield found
