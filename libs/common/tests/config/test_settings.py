"""Settings: from environment and secret files, wrong ones told in one line each, never with their value."""

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import AliasChoices, Field, SecretStr

from parley.config.settings import DataSettings, SettingsError, environment_names, load, unknown_settings


class ChatSettings(DataSettings):
    service: ClassVar[str] = "chat"
    database_url: SecretStr = Field(validation_alias=AliasChoices("CHAT_DATABASE_URL", "DATABASE_URL"), description="x")
    prices: dict[str, float] = Field({}, description="x")


@pytest.fixture(autouse=True)
def complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@db/chat")
    monkeypatch.setenv("REDIS_URL", "redis://r")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))


def test_the_environment_is_read() -> None:
    found = load(ChatSettings)
    assert found.database_url.get_secret_value() == "postgresql://u:hunter2@db/chat"
    assert (found.environment, found.queue_type, found.amqp_url) == ("production", "classic", None)


def test_the_services_own_database_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_DATABASE_URL", "postgresql://own")
    assert load(ChatSettings).database_url.get_secret_value() == "postgresql://own"


def test_secrets_come_from_files_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "amqp_url").write_text("amqp://file\n")
    secret = load(ChatSettings).amqp_url
    assert secret is not None
    assert secret.get_secret_value() == "amqp://file"
    monkeypatch.setenv("AMQP_URL", "amqp://environment")
    secret = load(ChatSettings).amqp_url
    assert secret is not None
    assert secret.get_secret_value() == "amqp://environment"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "")
    assert load(ChatSettings).amqp_url is None


def test_secrets_do_not_show_when_printed() -> None:
    assert "hunter2" not in repr(load(ChatSettings))


def test_everything_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("PORT", "hunter2")
    monkeypatch.setenv("LOG_LEVEL", "hunter2")
    with pytest.raises(SettingsError) as error:
        load(ChatSettings)
    lines = str(error.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["PORT", "LOG_LEVEL", "CHAT_DATABASE_URL"]
    assert lines[2] == "CHAT_DATABASE_URL: is required but not set"
    assert "hunter2" not in str(error.value)


def test_a_setting_that_must_be_json_and_is_not_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICES", "{hunter2")
    with pytest.raises(SettingsError) as error:
        load(ChatSettings)
    assert str(error.value) == "PRICES: is not valid JSON"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("REDIS_URLS", "REDIS_URL"), ("LOG_LEVL", "LOG_LEVEL"), ("CHAT_DATABASE_URI", "CHAT_DATABASE_URL")],
)
def test_a_misspelt_setting_is_refused_with_a_hint(name: str, hint: str) -> None:
    assert unknown_settings(ChatSettings, {name: "x"}) == [f"{name}: unknown setting; did you mean {hint}?"]


@pytest.mark.parametrize(
    "name",
    ["PATH", "HOME", "CHAT_SERVICE_HOST", "CHAT_PORT_8002_TCP", "HISTORY_DATABASE_URL", "LANG", "KUBERNETES_PORT"],
)
def test_other_programs_variables_are_none_of_our_business(name: str) -> None:
    assert not unknown_settings(ChatSettings, {name: "x"})


def test_every_setting_has_a_name_and_a_description() -> None:
    assert environment_names(ChatSettings)["database_url"] == "CHAT_DATABASE_URL"
    assert all(info.description for info in DataSettings.model_fields.values())


def test_a_wrong_setting_ends_the_process_with_status_2_and_no_traceback() -> None:
    program = "from parley.config.settings import DataSettings, load_or_exit; load_or_exit(DataSettings)"
    done = subprocess.run([sys.executable, "-c", program], env={}, capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "service: DATABASE_URL: is required but not set",
        "service: REDIS_URL: is required but not set",
    ]
