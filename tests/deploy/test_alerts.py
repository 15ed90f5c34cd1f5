"""Alerts and dashboards: Prometheus accepts them, each alert fires in its scenario only and links to the runbook."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from parley_testing.deployment.alert_scenarios import DOWN, PAGE, SCENARIOS
from parley_testing.deployment.alert_series import UP, series
from parley_testing.deployment.manifests import Combine, Object
from parley_testing.deployment.promtool import Promtool, rule_tests

ROOT = Path(__file__).parents[2]
GROUPS = ("parley-slo-records", "parley-slo", "parley-symptoms")
FIRING = 'count by (alertname, severity) (ALERTS{alertstate="firing"})'


def rules(objects: list[Object]) -> str:
    """Return the rules in Prometheus' own format."""
    groups = [group for each in objects if each["kind"] == "PrometheusRule" for group in each["spec"]["groups"]]
    return yaml.safe_dump({"groups": groups})


def case(name: str, after: str, found: dict[str, str], fires: dict[tuple[str, str], int]) -> Object:
    expected = [
        {"labels": f'{{alertname="{alert}", severity="{severity}"}}', "value": count}
        for (alert, severity), count in fires.items()
    ]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in found.items()],
        "promql_expr_test": [{"expr": FIRING, "eval_time": after, "exp_samples": expected}],
    }


def unit_tests(cases: list[Object], evaluation_interval: str = "1m") -> str:
    return yaml.safe_dump(rule_tests(GROUPS, cases, evaluation_interval))


@pytest.fixture(scope="module")
def monitoring(combine: Combine) -> list[Object]:
    return combine(("monitoring",))


@pytest.fixture(scope="module")
def alerts(monitoring: list[Object]) -> list[Object]:
    groups = yaml.safe_load(rules(monitoring))["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_prometheus_accepts_the_rules(monitoring: list[Object], promtool: Promtool) -> None:
    assert "SUCCESS" in promtool("check", "rules", "rules.yaml", rules=rules(monitoring))


@pytest.mark.parametrize(("hours", "evaluation_interval"), [(False, "1m"), (True, "10m")], ids=["minutes", "hours"])
def test_each_alert_fires_in_its_scenario_only(
    monitoring: list[Object], promtool: Promtool, hours: bool, evaluation_interval: str
) -> None:
    scenarios = [each for each in SCENARIOS if each.after.endswith("h") is hours]
    cases = [case(each.name, each.after, UP | each.series, each.fires) for each in scenarios]
    tests = unit_tests(cases, evaluation_interval)

    assert "SUCCESS" in promtool("test", "rules", "tests.yaml", rules=rules(monitoring), tests=tests)


def test_a_service_without_a_running_replica_raises_an_alert(monitoring: list[Object], promtool: Promtool) -> None:
    missed = {("ParleyServiceMissing", PAGE): 1}
    cases = [case(name, "10m", found, {} if name.startswith("one") else missed) for name, found in DOWN.items()]

    assert "SUCCESS" in promtool("test", "rules", "tests.yaml", rules=rules(monitoring), tests=unit_tests(cases))


def test_an_unexpected_alert_fails_a_scenario(monitoring: list[Object], promtool: Promtool) -> None:
    wrong = case("Redis is gone", "5m", UP | {series("chat_ratelimit_local", "parley-chat"): "1x5"}, {})

    with pytest.raises(AssertionError, match="ParleyLimitsLocal"):
        promtool("test", "rules", "tests.yaml", rules=rules(monitoring), tests=unit_tests([wrong]))


def test_there_is_a_scenario_for_each_alert(alerts: list[Object]) -> None:
    fired = {alert for each in SCENARIOS for alert in each.fires} | {("ParleyServiceMissing", PAGE)}

    assert fired == {(each["alert"], each["labels"]["severity"]) for each in alerts}


def test_each_alert_is_described_and_links_to_the_runbook(alerts: list[Object], root: Path) -> None:
    headings = re.findall(r"^#+ (.+)$", (root / "docs/runbook.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}

    for each in alerts:
        page, _, anchor = each["annotations"]["runbook_url"].partition("#")
        assert each["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert page == "docs/runbook.md"
        assert anchor in anchors


def test_prometheus_accepts_the_queries_of_the_dashboards(monitoring: list[Object], promtool: Promtool) -> None:
    (found,) = [each for each in monitoring if each["metadata"]["name"] == "parley-dashboards"]
    boards = [json.loads(text) for text in found["data"].values()]
    asked = [target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]]
    records = [
        {"record": f"panel:{number}", "expr": text.replace("$__rate_interval", "5m").replace("$namespace", "parley")}
        for number, text in enumerate(asked)
    ]
    text = yaml.safe_dump({"groups": [{"name": "dashboards", "rules": records}]})

    assert f"{len(asked)} rules found" in promtool("check", "rules", "boards.yaml", boards=text)
    assert len({board["uid"] for board in boards}) == len(boards) == 4


def test_the_dashboards_and_alerts_are_those_of_their_source() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/monitoring.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
