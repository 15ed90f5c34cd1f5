"""Metrics under the names that dashboards of other products use, made from Parley's own at each scrape.

A request costs nothing more: the values are read from the metrics that are counted already.
"""

from collections.abc import Iterator, Mapping

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

HTTP_LABELS = {"http_request_method": "method", "http_route": "path", "http_response_status_code": "status"}


class RequestAliases(Collector):
    """`http_requests_total` and `http_request_duration_seconds` by method, path (the route) and status."""

    def __init__(self, durations: Histogram) -> None:
        """Take the histogram of all requests."""
        self._durations = durations

    def collect(self) -> Iterator[Metric]:
        """Yield both metrics."""
        total = CounterMetricFamily("http_requests", "Requests.", labels=list(HTTP_LABELS.values()))
        seconds = Metric("http_request_duration_seconds", "Time of a request.", "histogram")
        for sample in _samples(self._durations):
            labels = _renamed(sample.labels, HTTP_LABELS)
            suffix = sample.name.rpartition("_")[2]
            seconds.add_sample(f"http_request_duration_seconds_{suffix}", labels, sample.value)
            if suffix == "count":
                total.add_metric(list(labels.values()), sample.value)
        yield total
        yield seconds


class CounterAlias(Collector):
    """A counter under another name, with other names of its labels."""

    def __init__(self, source: Counter, name: str, help_text: str, labels: Mapping[str, str]) -> None:
        """``name`` without `_total`; ``labels``: name by the source's name."""
        self._source, self._name, self._help, self._labels = source, name, help_text, labels

    def collect(self) -> Iterator[Metric]:
        """Yield the counter."""
        family = CounterMetricFamily(self._name, self._help, labels=list(self._labels.values()))
        for sample in _samples(self._source):
            if sample.name.endswith("_total"):
                family.add_metric(list(_renamed(sample.labels, self._labels).values()), sample.value)
        yield family


def _samples(metric: Counter | Histogram) -> Iterator[Sample]:
    return (sample for family in metric.collect() for sample in family.samples)


def _renamed(labels: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Return the labels in the order of ``names``; a bucket's bound keeps its name."""
    found = {new: labels[old] for old, new in names.items()}
    return found | {"le": labels["le"]} if "le" in labels else found
