"""The deployment's files as data: manifests as kubectl renders them, the compose file, and secrets made for it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from auth.settings import AuthSettings
from chat.settings import ChatSettings
from gateway.settings import GatewaySettings
from history.settings import HistorySettings, WorkerSettings
from parley.settings import ServiceSettings

Object: TypeAlias = dict[str, Any]
Render: TypeAlias = Callable[[str], list[Object]]

SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "auth": AuthSettings,
    "chat": ChatSettings,
    "history": HistorySettings,
    "history-worker": WorkerSettings,
}
KUBECTL_SECONDS = 60


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def settings_of() -> dict[str, type[ServiceSettings]]:
    """The settings class of each service, by the name both deployments give it."""
    return SETTINGS


@pytest.fixture(scope="session")
def render(root: Path) -> Render:
    """Render a kustomization below deploy/k8s to its objects."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on PATH: the manifests were not rendered")

    def rendered(folder: str) -> list[Object]:
        command = [kubectl, "kustomize", str(root / "deploy/k8s" / folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=KUBECTL_SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        return list(yaml.safe_load_all(done.stdout))

    return rendered


@pytest.fixture(scope="session")
def base(render: Render) -> list[Object]:
    return render("base")


@pytest.fixture(scope="session")
def compose(root: Path) -> Object:
    loaded: Object = yaml.safe_load((root / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="session")
def secrets(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what deploy/docker/make-secrets makes."""
    folder = tmp_path_factory.mktemp("deploy") / "secrets"
    environment = {**os.environ, "OPENAI_API_KEY": "sk-of-a-test"}
    command = [str(root / "deploy/docker/make-secrets"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=30, env=environment)
    return folder
