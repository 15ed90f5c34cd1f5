"""Retention of deleted conversations by plan."""

from datetime import timedelta
from pathlib import Path

import pytest

from history.plans import load_plans
from history.retention.policy import retention_policy
from parley.config.settings import SettingsError


def test_without_a_plans_file_the_setting_applies() -> None:
    assert retention_policy(load_plans(None), 30)("default") == timedelta(days=30)


def test_each_plan_has_its_own_retention_and_an_unknown_plan_the_default(tmp_path: Path) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text("default: {retention_days: 7}\npro: {retention_days: 90}\nplain: {burst: 5}\n")
    retention = retention_policy(load_plans(path), 30)
    assert [retention(name).days for name in ("default", "pro", "plain", "gone")] == [7, 90, 30, 7]


@pytest.mark.parametrize("text", ["- a", "a: 1", "a: {retention_days: -1}", "a: {retention_days: soon}", "a: ["])
def test_an_invalid_plans_file_is_reported_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"^PLANS_FILE: [^\n]+$"):
        load_plans(path)


def test_a_missing_plans_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_plans(tmp_path / "none.yaml")
