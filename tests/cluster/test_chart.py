"""The Helm chart, installed as its README says: first answer, upgrade under traffic, autoscaling, removal."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from parley_testing.deployment.cluster import Cluster, run_command
from parley_testing.deployment.cluster_traffic import AUTH_SETTINGS, GATEWAY_SETTINGS, ClusterTraffic

pytestmark = pytest.mark.chaos

RELEASE = "parley"
VALUES = {
    "bundledStores": {"seed": secrets.token_hex(32)},
    "workloads": {
        "gateway": {"settings": GATEWAY_SETTINGS},
        "auth": {"settings": AUTH_SETTINGS},
        "chat": {"settings": {"OPENAI_BASE_URL": "http://fake-provider:8100/v1"}},
    },
}


class Chart:
    """A release of the chart."""

    def __init__(self, root: Path, cluster: Cluster, values: Path) -> None:
        self.root, self.cluster, self.values = root, cluster, values
        self.program = run_command([str(root / "scripts/helm"), "program"]).stdout.strip().splitlines()[-1]

    def helm(self, *arguments: str) -> str:
        """Run helm in the namespace."""
        return run_command([self.program, "--namespace", self.cluster.namespace, *arguments], cwd=self.root).stdout

    def apply(self, command: str, *options: str) -> str:
        """Install or upgrade, and wait until everything is ready."""
        chart = ("deploy/helm/parley", "--values", "deploy/helm/parley/trial-values.yaml", "--values", str(self.values))
        return self.helm(command, RELEASE, *chart, "--wait", "--timeout", "15m", *options)


@pytest.fixture(scope="module")
def chart(
    cluster: Cluster, make_volumes: Callable[[], None], root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chart]:
    make_volumes()
    values = tmp_path_factory.mktemp("chart") / "values.yaml"
    values.write_text(yaml.safe_dump(VALUES))
    made = Chart(root, cluster, values)
    made.apply("install", "--create-namespace")
    cluster.kubectl("apply", "-f", str(root / "deploy/k8s/components/fake-model/fake-provider.yaml"))
    cluster.kubectl("rollout", "status", "statefulset/fake-provider", "--timeout=300s")
    yield made
    cluster.kubectl("delete", "namespace", cluster.namespace, "--ignore-not-found", "--timeout=600s")


def test_the_test_of_the_chart_passes(chart: Chart) -> None:
    assert "Succeeded" in chart.helm("test", RELEASE)
    assert chart.cluster.restarts() == {}


async def test_an_upgrade_under_traffic_fails_no_request_and_keeps_the_number_of_pods(
    chart: Chart, traffic: ClusterTraffic
) -> None:
    chart.cluster.scale("deployment", "history", 3)
    before = chart.cluster.replicas()
    async with traffic.running():
        await asyncio.to_thread(
            chart.apply, "upgrade", "--set", "autoscaling.enabled=true", "--set", "logLevel=warning"
        )
    after = chart.cluster.replicas()
    print(f"\nhelm upgrade: {traffic.summary()}")
    assert (traffic.report["failed"], traffic.report["wrong"], traffic.report["incomplete"]) == ([], [], 0)
    assert {name: count for name, count in after.items() if count < before[name]} == {}
    chart.cluster.inside("deployment/chat", "parley", "verify")


def test_uninstalling_leaves_the_claims_of_the_stores_only(chart: Chart) -> None:
    chart.cluster.kubectl("delete", "-f", str(chart.root / "deploy/k8s/components/fake-model/fake-provider.yaml"))
    chart.helm("uninstall", RELEASE, "--wait")
    kinds = "deployments,statefulsets,services,secrets,networkpolicies,serviceaccounts,horizontalpodautoscalers,jobs"
    left = chart.cluster.kubectl("get", f"{kinds},persistentvolumeclaims", "--output", "name").split()

    assert sorted(left) == [
        *(f"persistentvolumeclaim/data-{store}-0" for store in ("postgres", "rabbitmq", "redis")),
        "serviceaccount/default",
    ]
