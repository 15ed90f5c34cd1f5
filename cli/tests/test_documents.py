"""Generated documents and their state in the repository."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

import auth
import chat
import chat.settings
import gateway
import history
import parley
import webhooks
from parley.config.settings import SettingsError, environment_names, load
from parley.errors import ParleyError
from parley_cli.documents import configuration, pages
from parley_cli.documents.errors import catalogue
from parley_cli.settings_classes import SETTINGS_CLASSES

ROOT = Path(__file__).resolve().parents[2]


def test_no_generated_document_is_out_of_date() -> None:
    assert pages.outdated(ROOT) == []


@pytest.mark.parametrize("package", [parley, auth, chat, gateway, history, webhooks])
def test_the_page_of_errors_has_the_errors_of_every_module(package: ModuleType) -> None:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    codes = {kind.code for kind in catalogue()}
    missing = {kind for kind in errors_of(package.__name__) if kind.code not in codes}
    assert missing == set()


def errors_of(package: str, parent: type[ParleyError] = ParleyError) -> Iterator[type[ParleyError]]:
    for kind in parent.__subclasses__():
        if kind.__module__.partition(".")[0] == package:
            yield kind
        yield from errors_of(package, kind)


def test_a_default_that_differs_between_services_is_shown_for_each() -> None:
    rows = {
        row.split("|")[1].strip(): row for row in reversed(configuration.page().splitlines()) if row.startswith("| `")
    }
    assert "| gateway, local: none; auth: `127.0.0.0/8,::1/128` |" in rows["`TRUSTED_PROXIES`"]
    assert "| auth: `closed`; local: `open` |" in rows["`REGISTRATION`"]
    assert "history-worker: `9013`" in rows["`ADMIN_PORT`"]
    for kind in SETTINGS_CLASSES:
        for field, name in environment_names(kind).items():
            default = kind.model_fields[field].get_default(call_default_factory=True)
            if isinstance(default, int) and not isinstance(default, bool):
                assert re.search(rf"`{default}`", rows[f"`{name}`"]), (kind, name)


def test_every_number_has_a_range_that_the_page_shows() -> None:
    rows = {
        row.split("|")[1].strip(" `"): row.split("|")[4].strip()
        for row in configuration.page().splitlines()
        if row.startswith("| `") and row.count("|") > 6
    }
    for kind in SETTINGS_CLASSES:
        for field, name in environment_names(kind).items():
            kinds = {kind.model_fields[field].annotation, *get_args(kind.model_fields[field].annotation)}
            if kinds & {int, float}:
                assert re.fullmatch(r"(\d+ to|above \d+, up to) \d+", rows[name]), (kind, name)
    assert rows["PORT"] == "0 to 65535"
    assert rows["HEADER_TIMEOUT"] == "above 0, up to 3600"
    assert rows["LOG_FORMAT"] == "`json`, `console`"


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e12"])
def test_a_time_outside_of_its_range_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TURN_RETENTION", "EVENT_RETENTION", "RECONCILE_INTERVAL"):
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load(chat.settings.ChatSettings)
    for name in ("TURN_RETENTION", "EVENT_RETENTION", "RECONCILE_INTERVAL"):
        assert name in str(refused.value)


def test_the_example_lists_every_setting_and_no_other() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = {line.removeprefix("# ").partition("=")[0] for line in lines if line.startswith("# ") and "=" in line}
    settings = {variable for kind in SETTINGS_CLASSES for variable in environment_names(kind).values()}
    assert {name for name in named if name.isupper()} == settings


def test_the_example_contains_no_secret() -> None:
    for line in (ROOT / ".env.example").read_text().splitlines():
        name, found, value = line.removeprefix("# ").partition("=")
        if found and name.isupper() and name.endswith(("_KEY", "_SECRET")):
            assert value == ""
