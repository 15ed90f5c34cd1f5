"""The Helm chart: its default rendering is the kustomize base, and its schema refuses what is misspelt."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from parley_testing.deployment.manifests import Object, Render, one

HASHED = re.compile(r"^(.+)-[0-9a-z]{10}$")


@pytest.fixture(scope="module")
def chart(root: Path) -> Path:
    return root / "deploy/helm/parley"


class Validator:
    """The schema of the values."""

    def __init__(self, chart: Path) -> None:
        self.schema = Draft7Validator(json.loads((chart / "values.schema.json").read_text()))
        self.defaults = yaml.safe_load((chart / "values.yaml").read_text())

    def refuses(self, values: object) -> bool:
        return not self.schema.is_valid(values)


@pytest.fixture(scope="module")
def values(chart: Path) -> Validator:
    return Validator(chart)


def comparable(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """Return objects by kind and name, without what only says which tool made them, and how it notices a change."""
    found = {}
    for each in objects:
        if each["kind"] == "Namespace" or "helm.sh/hook" in each["metadata"].get("annotations", {}):
            continue
        copied: Any = json.loads(json.dumps(each))
        copied["metadata"].pop("namespace", None)
        copied["metadata"]["labels"].pop("app.kubernetes.io/managed-by")
        if copied["kind"] == "ConfigMap":
            copied["metadata"]["name"] = HASHED.sub(r"\1", copied["metadata"]["name"])
        if copied["kind"] == "Deployment":
            template = copied["spec"]["template"]
            template["metadata"].pop("annotations", None)
            template["spec"]["volumes"].sort(key=lambda volume: volume["name"])
            for source in template["spec"]["containers"][0]["envFrom"]:
                source["configMapRef"]["name"] = HASHED.sub(r"\1", source["configMapRef"]["name"])
        found[copied["kind"], copied["metadata"]["name"]] = copied
    return found


def test_with_equal_values_the_chart_and_the_base_are_equal(base: list[Object], render_chart: Render) -> None:
    expected, found = comparable(base), comparable(render_chart("default"))

    assert found.keys() == expected.keys()
    for key, each in expected.items():
        assert found[key] == each, key


def test_the_defaults_are_valid_and_a_misspelt_name_is_not_at_any_depth(values: Validator) -> None:
    assert not values.refuses(values.defaults)
    found: list[Object] = [
        {"autoscalling": {}},
        {"autoscaling": {"enable": True}},
        {"workloads": {"chats": {}}},
        {"workloads": {"chat": {"replica": 3}}},
        {"workloads": {"chat": {"resources": {"limit": {}}}}},
        {"ingress": {"hosts": ["a"]}},
        {"secrets": {"external": {"store": "a"}}},
    ]
    for misspelt in found:
        assert values.refuses(misspelt), misspelt


@pytest.mark.parametrize(
    "wrong",
    [
        {"workloads": {"chat": {"replicas": 0}}},
        {"workloads": {"chat": {"settings": {"OPENAI_API_KEY": "sk"}}}},
        {"workloads": {"chat": {"settings": {"AWS_ACCESS_KEY_ID": "key"}}}},
        {"workloads": {"chat": {"settings": {"AZURE_STORAGE_SAS_TOKEN": "sig"}}}},
        {"settings": {"log_level": "info"}},
        {"image": {"tag": "latest"}},
        {"image": {"digests": {"chat": "0.1.0"}}},
        {"publicUrl": "https://chat.example.org/"},
        {"logLevel": "verbose"},
        {"traces": {"sampleRatio": 2}},
    ],
    ids=json.dumps,
)
def test_a_wrong_value_is_refused(wrong: object, values: Validator) -> None:
    assert values.refuses(wrong)


def test_a_changed_setting_rolls_out_its_pods(render_chart: Render) -> None:
    before, after = render_chart("default"), render_chart("full")

    def checksum(objects: list[Object]) -> object:
        found = one(objects, "Deployment", "chat")["spec"]["template"]["metadata"]
        return found["annotations"]["checksum/settings"]

    assert checksum(before) != checksum(after)


def test_autoscaling_starts_from_the_number_that_runs(chart: Path) -> None:
    text = (chart / "templates/_helpers.tpl").read_text()

    assert 'lookup "apps/v1" "Deployment"' in text
    assert "replicas: {{ include" in (chart / "templates/workloads.yaml").read_text(), "a removed number means one"


def test_the_values_of_a_trial_are_valid_and_fit_a_node_of_two_cores(chart: Path, values: Validator) -> None:
    trial = yaml.safe_load((chart / "trial-values.yaml").read_text())

    assert not values.refuses(trial)
    assert trial["bundledStores"]["enabled"]
    assert trial["workloads"].keys() == values.defaults["workloads"].keys()
    for each in trial["workloads"].values():
        assert (each["replicas"], each["resources"]["requests"]["cpu"]) == (1, "25m")


def test_the_chart_is_as_new_as_the_base(chart: Path, base: list[Object]) -> None:
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    version = one(base, "Deployment", "chat")["metadata"]["labels"]["app.kubernetes.io/version"]

    assert about["version"] == about["appVersion"] == version
