"""Deployment files as data: rendered manifests, the compose file and generated secrets."""

import json
import os
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from auth.settings import AuthSettings
from chat.settings import ChatSettings
from gateway.settings import GatewaySettings
from history.settings import HistorySettings, WorkerSettings
from parley.config.settings import ServiceSettings
from parley_testing.deployment.kustomize import kustomize, write_overlay
from parley_testing.deployment.manifests import Combine, Object, Render, Validate
from webhooks.settings import WebhooksSettings

SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "auth": AuthSettings,
    "chat": ChatSettings,
    "history": HistorySettings,
    "history-worker": WorkerSettings,
    "webhooks": WebhooksSettings,
}
KUBERNETES_VERSIONS = ("1.30", "1.37")  # the oldest, which `preStop.sleep` needs, and the newest supported version


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def settings_of() -> dict[str, type[ServiceSettings]]:
    """The settings class of each service, by its name in both deployments."""
    return SETTINGS


@pytest.fixture(scope="session")
def render(root: Path) -> Render:
    """Render a kustomization below deploy/k8s to its objects."""
    return lambda folder: objects_of(root / "deploy/k8s" / folder)


@pytest.fixture(scope="session")
def combine(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Combine:
    """Render the base with components, as an overlay does."""

    def rendered(components: Sequence[str], **choices: Any) -> list[Object]:
        folder = tmp_path_factory.mktemp("overlay")
        write_overlay(folder, root / "deploy/k8s", components, choices)
        return objects_of(folder)

    unchanged = cache(rendered)
    return lambda components, **choices: rendered(components, **choices) if choices else unchanged(tuple(components))


@cache
def objects_of(folder: Path) -> list[Object]:
    return list(yaml.load_all(kustomize(folder), yaml.CSafeLoader))


@cache
def schema_of(version: str, name: str) -> Draft202012Validator:
    """Return the strict schema of a kind. Its definitions have a megabyte, and are read once for each version."""
    schema = read_schema(version, name)
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ definitions(version))


@cache
def definitions(version: str) -> "Registry[Any]":
    registry: Registry[Any] = Resource.from_contents(read_schema(version, "_definitions")) @ Registry()
    return registry.crawl()


def read_schema(version: str, name: str) -> Any:
    path = f"kubernetes-json-schema/v{version}.0-local-strict/{name}.json"
    return json.loads((files("kubernetes_validate") / path).read_bytes())


@pytest.fixture(scope="session")
def validate() -> Validate:
    """Validate objects against the API of each version; equal objects are validated once."""

    @cache
    def check(text: str, version: str) -> None:
        found = json.loads(text)
        group, _, name = found["apiVersion"].rpartition("/")
        prefix = f"{group.partition('.')[0]}-" if group else ""
        schema_of(version, f"{found['kind'].lower()}-{prefix}{name}").validate(found)

    def validated(objects: list[Object]) -> None:
        for each in objects:
            for version in KUBERNETES_VERSIONS:
                check(json.dumps(each, sort_keys=True), version)

    return validated


@pytest.fixture(scope="session")
def render_chart(root: Path) -> Render:
    """Return the objects of the Helm chart, as rendered with one set of values."""

    @cache
    def read(name: str) -> list[Object]:
        text = (root / f"deploy/helm/rendered/{name}.yaml").read_text()
        return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]

    return read


@pytest.fixture(scope="session")
def base(render: Render) -> list[Object]:
    return render("base")


@pytest.fixture(scope="session")
def compose(root: Path) -> Object:
    loaded: Object = yaml.safe_load((root / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="session")
def secrets(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the secrets of deploy/docker/make-secrets."""
    folder = tmp_path_factory.mktemp("deploy") / "secrets"
    command, key = [str(root / "deploy/docker/make-secrets"), str(folder)], {"OPENAI_API_KEY": "sk-of-a-test"}
    subprocess.run(command, check=True, capture_output=True, timeout=30, env=os.environ | key)
    return folder
