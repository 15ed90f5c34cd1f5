"""Metrics: one registry for each service, and never the default registry."""

import subprocess
import sys

from prometheus_client import generate_latest

from parley.observability.metrics import Metrics

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
import parley
for module in pkgutil.walk_packages(parley.__path__, "parley."):
    if not module.name.startswith("parley_embedded.process.launch"):
        importlib.import_module(module.name)
from prometheus_client import REGISTRY
own = ("python_", "process_")
found = [metric.name for metric in REGISTRY.collect() if not metric.name.startswith(own)]
sys.exit(f"in the default registry: {found}" if found else 0)
"""


def test_importing_everything_registers_nothing_in_the_default_registry() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_EVERYTHING], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_services_in_one_process_have_separate_metrics() -> None:
    first, second = Metrics("chat", "1", "-"), Metrics("history", "1", "-")
    first.events_published.labels("user.erased").inc()
    labels = {"type": "user.erased"}
    assert first.registry.get_sample_value("events_published_total", labels) == 1
    assert second.registry.get_sample_value("events_published_total", labels) is None


def test_build_info_names_service_version_and_commit() -> None:
    text = generate_latest(Metrics("chat", "1.2", "abc").registry).decode()
    assert 'build_info{git_sha="abc",service="chat",version="1.2"} 1.0' in text
    assert "_created" not in text


def test_requests_are_also_under_the_names_of_other_products() -> None:
    metrics = Metrics("chat", "1", "-")
    duration = metrics.request_duration.labels("GET", "/api/v1/models", "200")
    duration.observe(0.3)
    duration.observe(0.02)
    labels = {"method": "GET", "path": "/api/v1/models", "status": "200"}
    value = metrics.registry.get_sample_value
    assert value("http_requests_total", labels) == 2
    assert value("http_request_duration_seconds_count", labels) == 2
    assert value("http_request_duration_seconds_sum", labels) == 0.32
    assert value("http_request_duration_seconds_bucket", labels | {"le": "0.05"}) == 1
    text = generate_latest(metrics.registry).decode()
    assert "# TYPE http_requests_total counter" in text
    assert "# TYPE http_request_duration_seconds histogram" in text
