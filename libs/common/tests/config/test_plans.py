"""The plans file."""

from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from parley.config.plans import read_plans
from parley.config.settings import SettingsError


class BurstPlan(BaseModel):
    burst: int = Field(10, ge=1)


def write(folder: Path, text: str) -> Path:
    path = folder / "plans.yaml"
    path.write_text(text)
    return path


def test_every_name_is_the_default_plan_without_a_file() -> None:
    assert read_plans(None, BurstPlan()).find("team").burst == 10


def test_an_unknown_plan_is_the_default_plan_of_the_file(tmp_path: Path) -> None:
    plans = read_plans(write(tmp_path, "default: {burst: 5}\nteam: {burst: 50, models: ['*']}"), BurstPlan())
    assert [plans.find(name).burst for name in ("team", "default", "gone")] == [50, 5, 5]
    assert plans.effective("gone") == "default"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("team: {burst: 0}", "burst"),
        ("- a list", "must be a mapping of plan names"),
        ("team: 7", "PLANS_FILE"),
        ("1: {}", "must be a mapping of plan names"),
        ("{", "cannot be read"),
    ],
)
def test_an_invalid_file_is_reported_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as error:
        read_plans(write(tmp_path, text), BurstPlan())
    assert "\n" not in str(error.value)


def test_a_missing_file_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_plans(tmp_path / "none.yaml", BurstPlan())
