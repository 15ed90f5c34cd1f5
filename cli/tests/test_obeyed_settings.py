"""`parley run` obeys every setting of its services, or refuses it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from parley.config.settings import ServiceSettings, SettingsError, environment_names, load
from parley.config.sources import configured_variables
from parley_cli.commands.shared import load_settings
from parley_cli.main import build
from parley_cli.settings import LocalSettings
from parley_cli.settings_classes import SETTINGS_CLASSES
from parley_cli.stack.backends import StackBackends
from parley_cli.stack.encryption_key import ensure_key
from parley_cli.stack.ports import StackPorts
from parley_cli.stack.refused_settings import REFUSED, REFUSED_WITH_LOCAL_MODEL, require_obeyed
from parley_cli.stack.service_settings import (
    StackConfig,
    auth_settings,
    chat_settings,
    gateway_settings,
    history_settings,
    webhook_settings,
)

SAMPLES = {
    "ADMIN_HOST": "127.0.0.9",
    "AMQP_URL": "amqp://given",
    "AUTH_DATABASE_URL": "postgresql://given/",
    "AUTH_URL": "http://given",
    "AWS_ENDPOINT_URL": "http://given",
    "CHAT_DATABASE_URL": "postgresql://given/",
    "CORS_ORIGINS": "https://chat.example.org",
    "EMAIL_VERIFICATION_URL": "https://chat.example.org/verify",
    "DATABASE_URL": "postgresql://given/",
    "HISTORY_DATABASE_URL": "postgresql://given/",
    "HISTORY_URL": "http://given",
    "HOST": "127.0.0.9",
    "INTERNAL_CLIENTS": "{}",
    "JWKS_URL": "http://given",
    "MAX_CONNECTIONS": "64",
    "MAX_STREAMS": "64",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "given.yaml",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    "OTEL_EXPORTER_OTLP_HEADERS": "a=b",
    "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    "OTEL_TRACES_SAMPLER_ARG": "0.5",
    "PASSWORD_RESET_URL": "https://chat.example.org/reset",
    "PUBLIC_URL": "https://chat.example.org",
    "REDIS_URL": "redis://given",
    "SMTP_FROM": "parley@example.org",
    "SMTP_URL": "smtp://127.0.0.1:9",
    "TRUSTED_PROXIES": "10.1.2.0/24",
    "WEBHOOKS_DATABASE_URL": "postgresql://given/",
    "WEBHOOKS_ALLOWED_NETWORKS": "10.1.2.0/24",
    "WEBHOOKS_RETRY_DELAYS": "1,2,3",
}
"""Values of settings whose type does not say what is valid."""
NEEDED_BY_OTHERS = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
BACKENDS = {
    "DATABASE_URL": "a server of the operator: the services get databases on it",
    "REDIS_URL": "a server of the operator, opened with the other servers",
    "PARLEY_DATA_DIR": "the folder itself",
}
READ: Mapping[str, Callable[[StackConfig], ServiceSettings]] = {
    "gateway": gateway_settings,
    "auth": auth_settings,
    "chat": chat_settings,
    "history": history_settings,
    "webhooks": webhook_settings,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    ensure_key(tmp_path)
    (tmp_path / "given.yaml").write_text("{}", encoding="utf-8")
    return tmp_path


def used_settings(service: str, folder: Path, local: LocalSettings) -> ServiceSettings:
    """Return the settings with which the stack runs a service."""
    urls = dict.fromkeys(("auth", "chat", "history", "webhooks"), "postgresql://localhost/")
    config = StackConfig(local, folder, StackBackends(urls, "redis://localhost/0", None))
    return local if service == "local" else READ[service](config)


def sample(name: str, info: FieldInfo) -> str:
    """Return a valid value that is not the default."""
    if name in SAMPLES:
        return SAMPLES[name]
    kinds = [kind for kind in (get_args(info.annotation) or (info.annotation,)) if kind is not type(None)]
    if get_origin(info.annotation) is Literal:
        return next((str(choice) for choice in kinds if choice != info.default), str(info.default))
    if kinds[0] is bool:
        return str(not info.default).lower()
    if kinds[0] in {int, float}:
        lowest = max((each.ge for each in info.metadata if hasattr(each, "ge")), default=1)
        return str(kinds[0](info.default - 1 if info.default - 1 >= lowest else info.default + 1))
    if kinds[0] is Path:
        return "given.yaml"
    return "given"


def shown(value: Any) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return str(text).lower() if isinstance(text, bool) else str(text)


@pytest.mark.parametrize("kind", SETTINGS_CLASSES, ids=lambda kind: kind.service)
def test_every_documented_setting_is_obeyed_or_refused(
    kind: type[ServiceSettings], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        field: (name, sample(name, kind.model_fields[field]))
        for field, name in environment_names(kind).items()
        if name not in REFUSED
    }
    for name, value in {**NEEDED_BY_OTHERS, **dict(values.values())}.items():
        monkeypatch.setenv(name, value)
    local = load(LocalSettings)
    require_obeyed(local, configured_variables())
    used = used_settings(kind.service, folder, local)
    ignored = [
        (name, value, found)
        for field, (name, value) in values.items()
        if not matches(name, kind, value, found := shown(getattr(used, field))) and name not in BACKENDS
    ]
    assert ignored == []


@pytest.mark.parametrize("name", [*REFUSED, *REFUSED_WITH_LOCAL_MODEL])
def test_a_setting_that_would_be_ignored_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}: ") as refused:
        require_obeyed(LocalSettings(), {name: "another"})
    assert "\n" not in str(refused.value)


def test_a_provider_makes_the_settings_of_its_model_valid() -> None:
    require_obeyed(LocalSettings(openai_base_url="http://127.0.0.1:9/v1"), dict.fromkeys(REFUSED_WITH_LOCAL_MODEL, "x"))


@pytest.mark.parametrize("port", [0, 65_532])
def test_ports_leave_room_for_the_other_services(port: int) -> None:
    with pytest.raises(SettingsError, match=r"^PORT: .*\nADMIN_PORT: "):
        require_obeyed(LocalSettings(port=port, admin_port=port), {})


def test_the_settings_of_a_container_do_not_stop_other_subcommands(monkeypatch: pytest.MonkeyPatch) -> None:
    container = {"ENVIRONMENT": "production", "PORT": "0", "ADMIN_PORT": "0", "AMQP_URL": "amqp://rabbitmq"}
    for name, value in container.items():
        monkeypatch.setenv(name, value)
    assert load_settings().port == 0


def matches(name: str, kind: type[ServiceSettings], value: str, found: str) -> bool:
    """Return whether a service has the value; services other than the gateway follow its ports and trust it."""
    offset = ("gateway", "auth", "chat", "history", "webhooks", "local").index(kind.service) % 5
    if name in {"PORT", "ADMIN_PORT"}:
        return int(found) == int(value) + offset
    if name == "HOST" and kind.service not in {"gateway", "local"}:
        return found == "127.0.0.1"
    if name == "TRUSTED_PROXIES" and kind.service == "auth":
        return found == f"127.0.0.0/8,::1/128,{value}"
    return found in {value, f"{value}.0"} or (found.replace(".", "", 1).isdigit() and float(found) == float(value))


def test_the_refused_settings_are_settings() -> None:
    known = {name for kind in SETTINGS_CLASSES for name in environment_names(kind).values()}
    assert set(REFUSED) | set(REFUSED_WITH_LOCAL_MODEL) <= known


@pytest.mark.parametrize("where", ["environment", ".env", "secret file"])
def test_a_refused_setting_prints_one_line_and_nothing_starts(
    where: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = folder / "secrets"
    secrets.mkdir()
    monkeypatch.setenv("SECRETS_DIR", str(secrets))
    if where == "environment":
        monkeypatch.setenv("AMQP_URL", "amqp://localhost")
    elif where == ".env":
        Path(".env").write_text("AMQP_URL=amqp://localhost\n", encoding="utf-8")
    else:
        (secrets / "amqp_url").write_text("amqp://localhost", encoding="utf-8")
    result = CliRunner().invoke(build(), ["run", "--data-dir", str(folder / "data")])
    assert result.exit_code == 2
    assert result.stderr.startswith("parley: AMQP_URL: ")
    assert result.stderr.count("\n") == 1
    assert not (folder / "data").exists()


def test_a_value_that_make_run_has_anyway_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORKERS": "1", "QUEUE_TYPE": "classic", "RUN_CONSUMER": "True"}.items():
        monkeypatch.setenv(name, value)
    require_obeyed(load(LocalSettings), configured_variables())


def test_an_option_wins_over_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8200")
    assert load_settings().port == 8200
    assert load_settings(port=8300).port == 8300
    assert load_settings().base_url() == "http://localhost:8200"


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:8000"), ("10.1.2.3", "http://10.1.2.3:8000"), ("::", "http://[::1]:8000")],
)
def test_the_printed_address_is_one_that_clients_can_reach(host: str, url: str) -> None:
    assert StackPorts(host=host).client_url() == url
