"""The policy over everything that is rendered: overlays, components that no overlay has, and the Helm chart."""

import json
from pathlib import Path

import pytest
import yaml

from parley_testing.deployment.manifests import Combine, Object, Render, Validate, of_kind
from parley_testing.deployment.references import dangling_references, dangling_selectors, pods_without_policy, workloads
from parley_testing.deployment.workload_rules import ANY_WORKLOAD, BREAKS, Rule, survives_a_rollout_and_a_lost_node

KUSTOMIZED = ("dev", "staging", "production", "example")
CHART = ("default", "full", "bundled")
OPERATORS = ("backup", "cert-manager", "datastores-operators", "external-secrets", "ingress", "keda", "otel")
MADE_BY_OPERATORS = {"NetworkPolicy/postgres-store", "NetworkPolicy/rabbitmq-store"}
"""Policies for pods that an operator makes."""
MADE_BY_TESTS = {"NetworkPolicy/parley-test", "NetworkPolicy/parley-test-gateway"}
API_GROUPS = {
    "apps/v1",
    "batch/v1",
    "autoscaling/v2",
    "policy/v1",
    "v1",
    "networking.k8s.io/v1",
    "scheduling.k8s.io/v1",
}
SMALL_NODE = 1000
"""Thousandths of a core that the system leaves of a node of two, at least."""
OWN = {"gateway", "auth", "chat", "history", "history-worker", "webhooks"}


@pytest.fixture(scope="module")
def renderings(render: Render, render_chart: Render, combine: Combine) -> dict[str, list[Object]]:
    found = {name: render(f"overlays/{name}") for name in KUSTOMIZED}
    found["operators"] = combine(OPERATORS)
    for name in CHART:
        found[f"chart {name}"] = render_chart(name)
    return found


@pytest.fixture(scope="module")
def all_workloads(renderings: dict[str, list[Object]]) -> list[Object]:
    """Every different workload of every rendering."""
    found = {json.dumps(each, sort_keys=True): each for objects in renderings.values() for each in workloads(objects)}
    return list(found.values())


@pytest.mark.parametrize("rule", BREAKS, ids=lambda rule: rule.__name__)
def test_every_workload_keeps_the_rule(rule: Rule, all_workloads: list[Object]) -> None:
    own = [each for each in all_workloads if each["metadata"]["name"] in OWN]
    others = [each for each in all_workloads if each["metadata"]["name"] not in OWN]
    if rule is survives_a_rollout_and_a_lost_node:
        own = [{**each, "spec": {**each["spec"], "replicas": 2}} for each in own]

    assert len(own) >= 5 * len(KUSTOMIZED)
    broken = [each for each in [*own, *(others if rule in ANY_WORKLOAD else [])] if not rule(each)]
    assert [each["metadata"]["name"] for each in broken] == []


def test_two_replicas_are_there_before_and_after_autoscaling(renderings: dict[str, list[Object]]) -> None:
    for name, objects in renderings.items():
        scalers = [each["spec"] for each in objects if each["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}]
        least = {
            each["scaleTargetRef"]["name"]: each.get("minReplicas", each.get("minReplicaCount")) for each in scalers
        }
        for each in of_kind(objects, "Deployment"):
            count = each["spec"].get("replicas", least.get(each["metadata"]["name"]))
            assert count >= (1 if name == "dev" else 2), (name, each["metadata"]["name"])
        assert least.keys() <= {each["metadata"]["name"] for each in of_kind(objects, "Deployment")}


def test_the_overlay_of_a_trial_fits_a_node_of_two_cores(renderings: dict[str, list[Object]]) -> None:
    workloads = [each for kind in ("Deployment", "StatefulSet") for each in of_kind(renderings["dev"], kind)]
    requests = [
        (each["spec"]["replicas"], container["resources"]["requests"]["cpu"])
        for each in workloads
        for container in each["spec"]["template"]["spec"]["containers"]
    ]

    assert sum(count * int(cpu.removesuffix("m")) for count, cpu in requests) <= SMALL_NODE


def test_nothing_dangles_and_every_pod_has_a_policy(renderings: dict[str, list[Object]]) -> None:
    for name, objects in renderings.items():
        dangling = set(dangling_selectors(objects)) - MADE_BY_TESTS
        assert dangling - (MADE_BY_OPERATORS if name == "operators" else set()) == set(), name
        assert dangling_references(objects) == [], name
        assert pods_without_policy(objects) == [], name


def test_no_account_has_a_token_and_every_job_ends(renderings: dict[str, list[Object]]) -> None:
    for objects in renderings.values():
        assert all(each["automountServiceAccountToken"] is False for each in of_kind(objects, "ServiceAccount"))
        for job in of_kind(objects, "Job"):
            assert {"ttlSecondsAfterFinished", "activeDeadlineSeconds", "backoffLimit"} <= job["spec"].keys()
            assert job["spec"]["template"]["spec"]["restartPolicy"] in {"Never", "OnFailure"}


def test_only_production_pulls_by_digest_and_always(renderings: dict[str, list[Object]]) -> None:
    for each in of_kind(renderings["production"], "Deployment"):
        (container,) = each["spec"]["template"]["spec"]["containers"]
        assert "@sha256:" in container["image"]
        assert container["imagePullPolicy"] == "Always"


def test_every_object_of_every_rendering_is_valid_for_the_oldest_and_the_newest_api(
    renderings: dict[str, list[Object]], validate: Validate
) -> None:
    for objects in renderings.values():
        validate([each for each in objects if each["apiVersion"] in API_GROUPS])


def test_no_manifest_but_the_bundled_chart_contains_a_secret(renderings: dict[str, list[Object]]) -> None:
    assert [name for name, objects in renderings.items() if of_kind(objects, "Secret")] == ["chart bundled"]


def test_the_flat_file_is_the_base(root: Path, base: list[Object]) -> None:
    text = (root / "deploy/k8s/install.yaml").read_text()

    assert list(yaml.load_all(text, yaml.CSafeLoader)) == base
