"""Retention by plan."""

from datetime import timedelta
from pathlib import Path

import pytest

from history.retention.policy import read_retention
from parley.config.settings import SettingsError


def test_without_a_file_the_setting_counts() -> None:
    assert read_retention(None, 30)("default") == timedelta(days=30)


def test_each_plan_has_its_own_and_an_unknown_one_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text("default: {retention_days: 7}\npro: {retention_days: 90}\nplain: {burst: 5}\n")
    retention = read_retention(path, 30)
    assert [retention(name).days for name in ("default", "pro", "plain", "gone")] == [7, 90, 30, 7]


@pytest.mark.parametrize("text", ["- a", "a: 1", "a: {retention_days: -1}", "a: {retention_days: soon}", "a: ["])
def test_a_file_that_makes_no_sense_is_one_clear_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"^PLANS_FILE: [^\n]+$"):
        read_retention(path, 30)


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_retention(tmp_path / "none.yaml", 30)
