"""Plans from the settings and from the plans file."""

from pathlib import Path

import pytest

from gateway.access.plans import GatewayPlan, load_plans
from gateway.settings import GatewaySettings
from parley.config.settings import SettingsError, load


def settings(**overrides: object) -> GatewaySettings:
    return load(GatewaySettings, redis_url="redis://localhost/0", **overrides)


def test_the_default_plan_comes_from_the_settings() -> None:
    plan = load_plans(settings(rate_limit_requests=7, rate_limit_window=3, rate_limit_burst=2)).find("default")
    assert plan.limits("ada")[0].numbers == (7, 3_000_000, 2)


def test_an_unknown_plan_is_the_default_plan(tmp_path: Path) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text('gold: {requests_per_minute: 6000, burst: 1000, requests_per_day: 100, usd_per_day: "5"}\n')
    plans = load_plans(settings(plans_file=path))
    assert [limit.policy for limit in plans.find("gold").limits("ada")] == ["user", "user-day"]
    assert plans.find("unheard of") == plans.find("default")


@pytest.mark.parametrize("text", ["- a\n", "gold: {burst: 0}\n", "gold: [\n", "gold: {burst: 99999999999}\n"])
def test_an_invalid_plan_is_a_settings_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError):
        load_plans(settings(plans_file=path))


def test_day_and_minute_limits_apply_together() -> None:
    assert len(GatewayPlan(requests_per_day=5).limits("ada")) == 2
