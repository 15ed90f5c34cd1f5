"""Services of the stack: each has the secrets that it needs."""

import json
from pathlib import Path

import pytest

from chat.providers.access_check import ProviderAccess, ProviderAccessError
from parley_cli.diagnosis.system import read_system
from parley_cli.settings import LocalSettings
from parley_cli.stack.backends import StackBackends
from parley_cli.stack.encryption_key import ensure_key
from parley_cli.stack.service_settings import StackConfig, auth_settings, gateway_settings
from parley_cli.stack.services import provider_problem


def test_the_gateway_has_its_client_secret_to_look_up_revocations(tmp_path: Path) -> None:
    ensure_key(tmp_path)
    url = "postgresql://localhost/"
    backends = StackBackends(dict.fromkeys(("auth", "chat", "history", "webhooks"), url), "redis://localhost/0", None)
    config = StackConfig(LocalSettings(), tmp_path, backends)
    gateway, auth = gateway_settings(config), auth_settings(config)
    assert gateway.internal_client_secret is not None
    clients = json.loads(auth.internal_clients.get_secret_value())
    assert clients["gateway"] == gateway.internal_client_secret.get_secret_value()


def test_the_doctor_of_a_running_stack_finds_every_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_key(tmp_path)
    databases = dict.fromkeys(("auth", "chat", "history", "webhooks"), "postgresql://localhost/")
    backends = StackBackends(databases, "redis://localhost/0", None)
    for name, value in StackConfig(LocalSettings(), tmp_path, backends).environment().items():
        monkeypatch.setenv(name, value)
    assert read_system().services.keys() == databases.keys()


async def test_the_launcher_is_told_which_provider_refuses_its_key_and_nothing_of_the_key() -> None:
    async def refused() -> None:
        raise ProviderAccessError(ProviderAccess("api.example.org", "refused", 3.0))

    async def accepted() -> None:
        pass

    assert await provider_problem({"provider": refused}) == "api.example.org: the API key is refused"
    assert await provider_problem({"provider": accepted}) is None
