"""Metrics that alerts and dashboards read, compared with those of running services."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from parley_testing import eventually
from parley_testing.http.client import open_http, register
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.telemetry.promql import selectors

pytestmark = pytest.mark.e2e

MONITORING = Path(__file__).resolve().parents[2] / "deploy/k8s/components/monitoring"
NOT_OURS = {
    *("up", "kube_deployment_spec_replicas", "kube_deployment_status_replicas_ready"),
    *("kube_cronjob_created", "kube_cronjob_status_last_successful_time"),
}
"""Metrics of Prometheus itself and of kube-state-metrics."""
TARGET_LABELS = {"namespace", "job", "pod"}
_TYPE = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)


def expressions() -> Iterator[str]:
    for name in ("slo.yaml", "symptoms.yaml"):
        for group in yaml.safe_load((MONITORING / name).read_text())["spec"]["groups"]:
            yield from (rule["expr"] for rule in group["rules"])
    for path in sorted((MONITORING / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            yield from (target["expr"] for target in panel["targets"])


def recorded() -> set[str]:
    groups = yaml.safe_load((MONITORING / "slo.yaml").read_text())["spec"]["groups"]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def names(exposition: str) -> set[str]:
    """Return the names of all series that a page of metrics declares."""
    parts = {"histogram": ("_bucket", "_count", "_sum")}
    return {name + part for name, kind in _TYPE.findall(exposition) for part in parts.get(kind, ("",))}


def labels(exposition: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture
async def pages(separate: SeparateStack) -> list[str]:
    """The metrics of every process, after a turn that history has stored."""
    async with open_http(separate.url) as http:
        person = await register(http)
        await person.chat("Hello")
    worker = separate.workers[0]
    await eventually(
        lambda: worker.metric("events_consumed_total", queue="history.turns", outcome="handled"), within=20
    )
    async with open_http(timeout=10) as client:
        return [(await client.get(f"{each.admin_url}/metrics")).text for each in separate.everything]


async def test_every_metric_of_an_alert_or_a_dashboard_is_measured(pages: list[str]) -> None:
    measured = set().union(*map(names, pages)) | NOT_OURS | recorded()
    read = {name for expression in expressions() for name, _ in selectors(expression)}

    assert len(read) > 25
    assert sorted(read - measured) == []


async def test_alerts_and_dashboards_select_by_existing_labels(pages: list[str]) -> None:
    known: dict[str, set[str]] = {}
    for page in pages:
        for name, found in labels(page).items():
            known.setdefault(name, set()).update(found)
    chosen = {(name, label) for each in expressions() for name, by in selectors(each) for label in by - TARGET_LABELS}

    assert {name for name, _ in chosen} & known.keys()
    assert [(name, label) for name, label in sorted(chosen) if name in known and label not in known[name]] == []


async def test_published_events_have_the_type_of_the_alert(pages: list[str], separate: SeparateStack) -> None:
    published = [
        await each.metric("events_published_total", type="conversation.turn.completed") for each in separate.chat
    ]

    assert sum(published) >= 1


def test_selectors_finds_metrics_and_labels_in_an_expression() -> None:
    text = 'sum by (a) (rate(one_total{b="c{d", e!~"f"}[5m])) / max(two) > 0.5 unless on (a) absent(three:rate1h)'

    assert dict(selectors(text)) == {"one_total": {"b", "e"}, "two": set(), "three:rate1h": set()}
