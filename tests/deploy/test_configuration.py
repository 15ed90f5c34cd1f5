"""Settings in compose and Kubernetes: every variable is known, and the services can start with them."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias
from unittest import mock
from urllib.parse import urlsplit

import pytest
import yaml

from parley.config.settings import DataSettings, ServiceSettings, environment_names, load
from parley.observability.trace_export import FLUSH_TIMEOUT
from parley.web.server import CLOSE_TIMEOUT
from parley_testing.deployment.manifests import Object

Kinds: TypeAlias = dict[str, type[ServiceSettings]]

SERVICES = ("gateway", "auth", "chat", "history", "history-worker", "webhooks")
Mount: TypeAlias = Callable[[str, "Configuration"], Path]
VARIABLE = re.compile(r"\$\{\w+:-((?:[^{}]|\$\{[^}]*\})*)\}")


OWN_SECRETS = {"internal_client_secret": "client_secret"}
"""The names with which make-secrets makes the cluster's secrets for each service."""


class Configuration:
    """The variables of one service, and its secret files with the names of their sources."""

    def __init__(self, variables: dict[str, str], files: Mapping[str, str], grace: float) -> None:
        self.variables, self.files, self.grace = variables, files, grace

    def unknown_to(self, kind: type[ServiceSettings]) -> set[str]:
        """Return the variables and files that are no setting of the service."""
        known = {*environment_names(kind).values(), "SECRETS_DIR"}
        return {name.upper() for name in (*self.variables, *self.files)} - known

    def load(self, kind: type[ServiceSettings], folder: Path) -> ServiceSettings:
        """Load the service's settings from these variables and files only."""
        environment = {**self.variables, "SECRETS_DIR": str(folder)}
        with mock.patch.dict(os.environ, environment, clear=True):
            return load(kind)


def in_compose(service: Object) -> Configuration:
    # A variable without a value is passed on from the operator's environment.
    variables = {
        name: VARIABLE.sub(r"\1", str(value)) for name, value in service["environment"].items() if value is not None
    }
    files = {
        each if isinstance(each, str) else each["target"]: each if isinstance(each, str) else each["source"]
        for each in service["secrets"]
    }
    return Configuration(variables, files, float(service["stop_grace_period"].removesuffix("s")))


def in_cluster(deployment: Object, objects: list[Object], secrets: dict[str, Object]) -> Configuration:
    spec = deployment["spec"]["template"]["spec"]
    maps = {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"}
    (container,) = spec["containers"]
    variables: dict[str, str] = {}
    for source in container["envFrom"]:
        variables |= maps[source["configMapRef"]["name"]]
    (volume,) = [each for each in spec["volumes"] if "secret" in each]
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    files = {file: file for file in secrets[volume["secret"]["secretName"]]["stringData"]}
    return Configuration(variables, files, spec["terminationGracePeriodSeconds"] - sleep)


@pytest.fixture(scope="module")
def example_secrets(root: Path) -> dict[str, Object]:
    loaded = yaml.safe_load_all((root / "deploy/k8s/secrets.example.yaml").read_text())
    return {each["metadata"]["name"]: each for each in loaded}


@pytest.fixture(params=["compose", "cluster"])
def told(request: pytest.FixtureRequest) -> dict[str, Configuration]:
    """The configuration of each service, in compose and in the cluster."""
    if request.param == "compose":
        compose = request.getfixturevalue("compose")
        return {name: in_compose(compose["services"][name]) for name in SERVICES}
    objects = request.getfixturevalue("render")("overlays/example")
    secrets = request.getfixturevalue("example_secrets")
    found = [each for each in objects if each["kind"] == "Deployment"]
    return {each["metadata"]["name"]: in_cluster(each, objects, secrets) for each in found}


@pytest.fixture
def mounted(secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mount:
    """Create the secret files of a service as in its container."""
    monkeypatch.chdir(tmp_path)

    def lay_out(name: str, configuration: Configuration) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, source in configuration.files.items():
            found = secrets / source
            made = found if found.is_file() else secrets / f"{name.partition('-')[0]}_{OWN_SECRETS.get(file, file)}"
            (folder / file).write_text(made.read_text())
        return folder

    return lay_out


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_and_secret_is_a_setting_of_the_service(
    name: str, told: dict[str, Configuration], settings_of: Kinds
) -> None:
    assert told[name].unknown_to(settings_of[name]) == set()


@pytest.mark.parametrize("name", SERVICES)
def test_the_settings_of_the_service_can_be_loaded_from_it(
    name: str, told: dict[str, Configuration], settings_of: Kinds, mounted: Mount
) -> None:
    settings = told[name].load(settings_of[name], mounted(name, told[name]))

    assert settings.host == "0.0.0.0"
    assert settings.environment == "production"
    assert getattr(settings, "internal_client_secret", "none needed")
    assert not isinstance(settings, DataSettings) or settings.amqp_url


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_a_variable(name: str, told: dict[str, Configuration], settings_of: Kinds) -> None:
    kind = settings_of[name]
    secret = {
        environment_names(kind)[field]
        for field, info in kind.model_fields.items()
        if "SecretStr" in str(info.annotation)
    }

    assert secret & told[name].variables.keys() == set()
    assert {file.upper() for file in told[name].files} <= secret


@pytest.mark.parametrize("name", SERVICES)
def test_the_grace_period_is_longer_than_the_drain(
    name: str, told: dict[str, Configuration], settings_of: Kinds, mounted: Mount
) -> None:
    settings = told[name].load(settings_of[name], mounted(name, told[name]))

    assert told[name].grace > settings.drain_delay + settings.drain_timeout + CLOSE_TIMEOUT + FLUSH_TIMEOUT


def test_the_gateway_drains_longer_than_chat_and_history(told: dict[str, Configuration]) -> None:
    seconds = {name: float(told[name].variables["DRAIN_TIMEOUT"]) for name in SERVICES}

    assert seconds["gateway"] > max(seconds["chat"], seconds["history"])


def test_service_urls_name_the_ports_of_the_services(told: dict[str, Configuration]) -> None:
    for each in told.values():
        for name, value in each.variables.items():
            if name in {"AUTH_URL", "CHAT_URL", "HISTORY_URL", "WEBHOOKS_URL", "JWKS_URL"}:
                address = urlsplit(value)
                service = str(address.hostname).removesuffix("-pods")
                assert str(address.port) == told[service].variables["PORT"]


def test_the_consumer_runs_in_its_own_process_only(told: dict[str, Configuration]) -> None:
    assert told["history"].variables["RUN_CONSUMER"] == "false"
    assert "RUN_CONSUMER" not in told["history-worker"].variables


@pytest.mark.parametrize("name", SERVICES)
def test_container_ports_equal_the_port_settings(name: str, base: list[Object], told: dict[str, Configuration]) -> None:
    (deployment,) = [each for each in base if each["kind"] == "Deployment" and each["metadata"]["name"] == name]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    variables = told[name].variables

    assert ports == {
        key: variables[variable]
        for key, variable in (("http", "PORT"), ("admin", "ADMIN_PORT"))
        if variable in variables
    }


def test_a_misspelt_variable_is_found(settings_of: Kinds) -> None:
    assert Configuration({"DRAIN_TIME_OUT": "1"}, {"redis_urls": "redis_url"}, 0).unknown_to(settings_of["chat"]) == {
        "DRAIN_TIME_OUT",
        "REDIS_URLS",
    }
