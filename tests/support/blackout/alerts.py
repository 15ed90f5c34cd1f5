"""Alerts of a cell: metrics recorded while something is broken, and the alerts that fire on them.

A fault lasts seconds here, and an alert waits for minutes. The rules are tested as operators install them: a recorded
second becomes a minute of the replay, or a part of one in a long outage, and counters and ages are scaled alike.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as MetricSample

from parley_testing.deployment.promtool import Promtool, rule_tests
from parley_testing.http.client import open_http
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.telemetry.promql import selectors

RULES = Path(__file__).resolve().parents[3] / "deploy" / "k8s" / "components" / "monitoring"
SCRAPE_INTERVAL, SCRAPE_TIMEOUT = 1.0, 1.0
OUTAGE_MINUTES = 12
"""Minutes that an outage of as many seconds or more lasts in the replay, at least."""
NAMESPACE = "parley"
FIRED = 'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1d]))'
_GOT, _ALERT = re.compile(r"got:(.*)"), re.compile(r'alertname="(\w+)"')
GROWING = ("_total", "_count", "_bucket", "_seconds")
"""Ends of the names of counters, and of gauges that are ages."""

Series = dict[tuple[str, tuple[tuple[str, str], ...]], dict[int, float]]
"""Values by number of the sample, by name and labels."""


@dataclass
class Recording:
    """Metrics of all processes, read once a second."""

    processes: Sequence[ServiceProcess]
    names: frozenset[str]
    series: Series = field(default_factory=dict)
    length: int = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Record while the context is open."""
        task = asyncio.create_task(self._record())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _record(self) -> None:
        async with open_http(timeout=SCRAPE_TIMEOUT) as client:

            async def scrape(process: ServiceProcess, number: int) -> None:
                try:
                    async with asyncio.timeout(SCRAPE_TIMEOUT):
                        text = (await client.get(f"{process.admin_url}/metrics")).text
                except (TimeoutError, OSError, httpx2.HTTPError):
                    text = ""
                self.add(process.name, number, text)

            async with asyncio.TaskGroup() as scrapes:
                while True:
                    for process in self.processes:
                        scrapes.create_task(scrape(process, self.length))
                    self.length += 1
                    await asyncio.sleep(SCRAPE_INTERVAL)

    def add(self, process: str, number: int, text: str) -> None:
        """Add the metrics of a process at one moment; an empty text means that it did not answer."""
        service = process.partition("-")[0]
        job = {"worker": "history-worker"}.get(service, service)
        target = {"namespace": NAMESPACE, "job": f"parley-{job}", "pod": process}
        self._put(MetricSample("up", {}, float(bool(text))), target, number)
        # Most lines are not needed, and parsing them takes more time than all else that a cell does.
        needed = tuple(self.names)
        lines = "\n".join(line for line in text.splitlines() if line.startswith(needed))
        for family in text_string_to_metric_families(lines):
            for sample in family.samples:
                if sample.name in self.names:
                    self._put(sample, target, number)

    def _put(self, sample: MetricSample, target: dict[str, str], number: int) -> None:
        key = sample.name, tuple(sorted({**sample.labels, **target}.items()))
        self.series.setdefault(key, {})[number] = sample.value

    def replayed(self, seconds: float) -> range:
        """Return the numbers of the samples to replay: of a long outage, not all, so that it lasts no longer."""
        return range(0, self.length, max(1, int(seconds // OUTAGE_MINUTES)))

    def replay(self, seconds: float) -> list[dict[str, str]]:
        """Return the series for promtool, a minute apart; ``seconds``: duration of the outage."""
        numbers = self.replayed(seconds)
        factor = 60 / (numbers.step * SCRAPE_INTERVAL)
        found = []
        for (name, labels), values in self.series.items():
            scaled = {number: value * factor if name.endswith(GROWING) else value for number, value in values.items()}
            text = ", ".join(f'{key}="{value}"' for key, value in labels)
            shown = [f"{scaled[n]:.6g}" if n in scaled else "_" for n in numbers]
            found.append({"series": f"{name}{{{text}}}", "values": " ".join(shown)})
        return found


def rule_groups() -> list[dict[str, object]]:
    """Return the groups of recording and alerting rules that operators install."""
    documents = [yaml.safe_load((RULES / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("slo", "symptoms")]
    return [group for document in documents for group in document["spec"]["groups"]]


def metric_names(groups: Iterable[dict[str, object]]) -> frozenset[str]:
    """Return the names of the metrics that rules read."""
    rules = [rule for group in groups for rule in group["rules"]]  # type: ignore[attr-defined]
    return frozenset(name for rule in rules for name, _ in selectors(rule["expr"]))


def fired(recording: Recording, seconds: float, promtool: Promtool) -> list[str]:
    """Return the names of the alerts that fire at some time in the replay of a recording."""
    groups = rule_groups()
    case = {
        "interval": "1m",
        "input_series": recording.replay(seconds),
        "promql_expr_test": [{"expr": FIRED, "eval_time": f"{len(recording.replayed(seconds))}m", "exp_samples": []}],
    }
    tests = yaml.safe_dump(rule_tests([str(group["name"]) for group in groups], [case]))
    try:
        promtool("test", "rules", "tests.yaml", rules=yaml.safe_dump({"groups": groups}), tests=tests)
    except AssertionError as error:
        return alerts_in(str(error))
    return []


def alerts_in(output: str) -> list[str]:
    """Return the alerts that promtool found although none was expected; raise AssertionError for another failure."""
    found = [name for line in _GOT.findall(output) for name in _ALERT.findall(line)]
    assert found, output
    return sorted(set(found))
