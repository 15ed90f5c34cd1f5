"""What compose and Kubernetes tell the services is what the services' settings understand, and enough to start."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock
from urllib.parse import urlsplit

import pytest
import yaml

from parley.config.settings import DataSettings, ServiceSettings, environment_names, load
from parley.observability.trace_export import FLUSH_TIMEOUT
from parley.web.server import CLOSE_TIMEOUT

Object: TypeAlias = dict[str, Any]
Kinds: TypeAlias = dict[str, type[ServiceSettings]]

SERVICES = ("gateway", "auth", "chat", "history", "history-worker")
VARIABLE = re.compile(r"\$\{\w+:-([^}]*)\}")


class Told:
    """What one service is told: variables, and secret files by name."""

    def __init__(self, variables: dict[str, str], files: Iterable[str], grace: float) -> None:
        self.variables, self.files, self.grace = variables, set(files), grace

    def unknown_to(self, kind: type[ServiceSettings]) -> set[str]:
        """Return what the service's settings have no name for."""
        known = {*environment_names(kind).values(), "SECRETS_DIR"}
        return {name.upper() for name in (*self.variables, *self.files)} - known

    def load(self, kind: type[ServiceSettings], folder: Path) -> ServiceSettings:
        """Start the service's settings with this and nothing else."""
        environment = {**self.variables, "SECRETS_DIR": str(folder)}
        with mock.patch.dict(os.environ, environment, clear=True):
            return load(kind)


def in_compose(service: Object) -> Told:
    variables = {name: VARIABLE.sub(r"\1", str(value)) for name, value in service["environment"].items()}
    files = [each if isinstance(each, str) else each["target"] for each in service["secrets"]]
    return Told(variables, files, float(service["stop_grace_period"].removesuffix("s")))


def in_cluster(deployment: Object, objects: list[Object], secrets: dict[str, Object]) -> Told:
    spec = deployment["spec"]["template"]["spec"]
    maps = {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"}
    (container,) = spec["containers"]
    variables: dict[str, str] = {}
    for source in container["envFrom"]:
        variables |= maps[source["configMapRef"]["name"]]
    (volume,) = [each for each in spec["volumes"] if "secret" in each]
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    files = secrets[volume["secret"]["secretName"]]["stringData"]
    return Told(variables, files, spec["terminationGracePeriodSeconds"] - sleep)


@pytest.fixture(scope="module")
def example_secrets(root: Path) -> dict[str, Object]:
    loaded = yaml.safe_load_all((root / "deploy/k8s/secrets.example.yaml").read_text())
    return {each["metadata"]["name"]: each for each in loaded}


@pytest.fixture(params=["compose", "cluster"])
def told(request: pytest.FixtureRequest) -> dict[str, Told]:
    """What each service is told, in compose and in the cluster."""
    if request.param == "compose":
        compose = request.getfixturevalue("compose")
        return {name: in_compose(compose["services"][name]) for name in SERVICES}
    objects = request.getfixturevalue("render")("overlays/example")
    secrets = request.getfixturevalue("example_secrets")
    found = [each for each in objects if each["kind"] == "Deployment"]
    return {each["metadata"]["name"]: in_cluster(each, objects, secrets) for each in found}


@pytest.fixture
def mounted(secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lay out the secret files of a service as its container sees them."""
    monkeypatch.chdir(tmp_path)

    def lay_out(name: str, told: Told) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file in told.files:
            source = f"{name}_client_secret" if file == "internal_client_secret" else file
            (folder / file).write_text((secrets / source).read_text())
        return folder

    return lay_out


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_and_secret_is_a_setting_of_the_service(
    name: str, told: dict[str, Told], settings_of: Kinds
) -> None:
    assert told[name].unknown_to(settings_of[name]) == set()


@pytest.mark.parametrize("name", SERVICES)
def test_the_settings_of_the_service_can_be_loaded_from_it(
    name: str, told: dict[str, Told], settings_of: Kinds, mounted: Any
) -> None:
    settings = told[name].load(settings_of[name], mounted(name, told[name]))

    assert settings.host == "0.0.0.0"
    assert settings.environment == "production"
    assert getattr(settings, "internal_client_secret", "none needed")
    assert not isinstance(settings, DataSettings) or settings.amqp_url


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_a_variable(name: str, told: dict[str, Told], settings_of: Kinds) -> None:
    kind = settings_of[name]
    secret = {
        environment_names(kind)[field]
        for field, info in kind.model_fields.items()
        if "SecretStr" in str(info.annotation)
    }

    assert secret & told[name].variables.keys() == set()
    assert {file.upper() for file in told[name].files} <= secret


@pytest.mark.parametrize("name", SERVICES)
def test_the_process_gets_more_time_to_stop_than_its_drain_may_take(
    name: str, told: dict[str, Told], settings_of: Kinds, mounted: Any
) -> None:
    settings = told[name].load(settings_of[name], mounted(name, told[name]))

    assert told[name].grace > settings.drain_delay + settings.drain_timeout + CLOSE_TIMEOUT + FLUSH_TIMEOUT


def test_the_gateway_drains_longer_than_what_it_streams_from(told: dict[str, Told]) -> None:
    seconds = {name: float(told[name].variables["DRAIN_TIMEOUT"]) for name in SERVICES}

    assert seconds["gateway"] > max(seconds["chat"], seconds["history"])


def test_services_look_for_each_other_where_they_listen(told: dict[str, Told]) -> None:
    for each in told.values():
        for name, value in each.variables.items():
            if name in {"AUTH_URL", "CHAT_URL", "HISTORY_URL", "JWKS_URL"}:
                address = urlsplit(value)
                assert address.hostname in told
                assert str(address.port) == told[address.hostname].variables["PORT"]


def test_the_consumer_runs_in_its_own_process_only(told: dict[str, Told]) -> None:
    assert told["history"].variables["RUN_CONSUMER"] == "false"
    assert "RUN_CONSUMER" not in told["history-worker"].variables


@pytest.mark.parametrize("name", SERVICES)
def test_ports_of_the_manifest_are_those_the_service_is_told(
    name: str, base: list[Object], told: dict[str, Told]
) -> None:
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
    assert Told({"DRAIN_TIME_OUT": "1"}, ["redis_urls"], 0).unknown_to(settings_of["chat"]) == {
        "DRAIN_TIME_OUT",
        "REDIS_URLS",
    }
