"""Quotas of imports by plan."""

from pathlib import Path

import pytest

from history.plans import load_plans
from parley.config.settings import SettingsError


def test_each_plan_has_its_own_quota_and_an_unknown_plan_that_of_the_default_plan(tmp_path: Path) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text("default: {import_bytes: 7}\npro: {import_bytes: 0}\nplain: {burst: 5}\n")
    plans = load_plans(path)
    assert [plans.find(name).import_bytes for name in ("default", "pro", "plain", "gone")] == [7, 0, 2**30, 7]
    assert load_plans(None).find("default").import_bytes == 2**30


@pytest.mark.parametrize("value", ["-1", "soon", "1.5", "null", "9007199254740992"])
def test_a_quota_that_is_no_number_of_bytes_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text(f"pro: {{import_bytes: {value}}}")
    with pytest.raises(SettingsError, match=r"^PLANS_FILE: import_bytes: [^\n]+$"):
        load_plans(path)
