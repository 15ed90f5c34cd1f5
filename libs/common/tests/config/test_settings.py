"""Settings from environment and secret files; an invalid one is reported in one line, without its value."""

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import AliasChoices, Field, SecretStr

from parley.config.settings import DataSettings, SettingsError, environment_names, load, unknown_settings


class ExampleSettings(DataSettings):
    service: ClassVar[str] = "chat"
    database_url: SecretStr = Field(validation_alias=AliasChoices("CHAT_DATABASE_URL", "DATABASE_URL"), description="x")
    prices: dict[str, float] = Field({}, description="x")


@pytest.fixture(autouse=True)
def complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@db/chat")
    monkeypatch.setenv("REDIS_URL", "redis://r")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))


def test_a_misspelt_line_of_the_env_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVL=debug\nPARLEY_PORT=8000\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"^LOG_LEVL: unknown setting; did you mean LOG_LEVEL\?$"):
        load(ExampleSettings, database_url="postgresql://localhost/")


def test_settings_are_read_from_the_environment() -> None:
    found = load(ExampleSettings)
    assert found.database_url.get_secret_value() == "postgresql://u:hunter2@db/chat"
    assert (found.environment, found.queue_type, found.amqp_url) == ("production", "classic", None)


def test_the_service_specific_variable_has_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_DATABASE_URL", "postgresql://own")
    assert load(ExampleSettings).database_url.get_secret_value() == "postgresql://own"


def test_an_empty_secret_file_counts_as_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "amqp_url").write_text("\n")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))

    assert load(ExampleSettings).amqp_url is None


def test_secrets_are_read_from_files_unless_the_environment_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "amqp_url").write_text("amqp://file\n")
    secret = load(ExampleSettings).amqp_url
    assert secret is not None
    assert secret.get_secret_value() == "amqp://file"
    monkeypatch.setenv("AMQP_URL", "amqp://environment")
    secret = load(ExampleSettings).amqp_url
    assert secret is not None
    assert secret.get_secret_value() == "amqp://environment"


def test_an_empty_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "")
    assert load(ExampleSettings).amqp_url is None


def test_secrets_are_not_printed() -> None:
    assert "hunter2" not in repr(load(ExampleSettings))


def test_all_problems_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("PORT", "hunter2")
    monkeypatch.setenv("LOG_LEVEL", "hunter2")
    with pytest.raises(SettingsError) as error:
        load(ExampleSettings)
    lines = str(error.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["PORT", "LOG_LEVEL", "CHAT_DATABASE_URL"]
    assert lines[2] == "CHAT_DATABASE_URL: is required but not set"
    assert "hunter2" not in str(error.value)


def test_invalid_json_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICES", "{hunter2")
    with pytest.raises(SettingsError) as error:
        load(ExampleSettings)
    assert str(error.value) == "PRICES: is not valid JSON"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("REDIS_URLS", "REDIS_URL"), ("LOG_LEVL", "LOG_LEVEL"), ("CHAT_DATABASE_URI", "CHAT_DATABASE_URL")],
)
def test_a_misspelt_setting_is_rejected_with_a_hint(name: str, hint: str) -> None:
    assert unknown_settings(ExampleSettings, {name: "x"}) == [f"{name}: unknown setting; did you mean {hint}?"]


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "CHAT_SERVICE_HOST",
        "CHAT_PORT_8002_TCP",
        "HISTORY_DATABASE_URL",
        "LANG",
        "KUBERNETES_PORT",
        "CHAT_URL",
    ],
)
def test_variables_of_other_programs_are_ignored(name: str) -> None:
    assert not unknown_settings(ExampleSettings, {name: "x"})


def test_every_setting_has_a_name_and_a_description() -> None:
    assert environment_names(ExampleSettings)["database_url"] == "CHAT_DATABASE_URL"
    assert all(info.description for info in DataSettings.model_fields.values())


def test_an_invalid_setting_exits_with_status_2_and_without_traceback() -> None:
    program = "from parley.config.settings import DataSettings, load_or_exit; load_or_exit(DataSettings)"
    done = subprocess.run([sys.executable, "-c", program], env={}, capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "service: DATABASE_URL: is required but not set",
        "service: REDIS_URL: is required but not set",
    ]
