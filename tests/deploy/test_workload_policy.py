"""Policy for workloads: each rule is tested with workloads that break it."""

import copy

import pytest

from parley_testing.deployment.manifests import Object, of_kind
from parley_testing.deployment.workload_rules import BREAKS, Rule, pod


def broken(deployment: Object, path: str, value: object) -> Object:
    """Return a copy of the deployment with one field changed."""
    copied = copy.deepcopy(deployment)
    root, *parents, field = path.split(".")
    where = {"spec": copied["spec"], "pod": pod(copied), "container": pod(copied)["containers"][0]}[root]
    for parent in parents:
        where = where[parent]
    where[field] = value
    return copied


@pytest.fixture
def deployments(base: list[Object]) -> list[Object]:
    return of_kind(base, "Deployment")


@pytest.mark.parametrize("rule", BREAKS, ids=lambda rule: rule.__name__)
def test_every_deployment_keeps_the_rule(rule: Rule, deployments: list[Object]) -> None:
    assert len(deployments) == 6
    assert [each["metadata"]["name"] for each in deployments if not rule(each)] == []


@pytest.mark.parametrize("rule", BREAKS, ids=lambda rule: rule.__name__)
def test_a_deployment_that_breaks_the_rule_is_found(rule: Rule, deployments: list[Object]) -> None:
    for path, value in BREAKS[rule].items():
        assert not rule(broken(deployments[0], path, value)), path
