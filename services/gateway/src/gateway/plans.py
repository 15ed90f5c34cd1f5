"""Plans: how much a user may ask for, from the operator's file and the token's claim."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.settings import GatewaySettings
from parley.limits import Limit
from parley.settings import SettingsError

log = structlog.get_logger()

DEFAULT = "default"
DAY = 86_400


class Plan(BaseModel):
    """What of a plan concerns the gateway; the other members are chat's and history's."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    requests_per_minute: int = Field(600, ge=1)
    window: int = Field(60, ge=1, le=DAY)
    burst: int = Field(100, ge=1)
    requests_per_day: int | None = Field(None, ge=1)
    streams: int = Field(20, ge=1)

    def limits(self, user: str, *, strict: bool = False) -> tuple[Limit, ...]:
        """Return the limits of one user; ``strict`` for what costs money or guesses passwords."""
        minute = Limit("user", user, self.requests_per_minute, self.window, self.burst, strict)
        if self.requests_per_day is None:
            return (minute,)
        return (minute, Limit("user-day", user, self.requests_per_day, DAY, self.requests_per_day, strict))


class Plans:
    """All plans by name; an unknown one is the default, logged once."""

    def __init__(self, plans: Mapping[str, Plan]) -> None:
        """Take the plans, the default among them."""
        self._plans = dict(plans)
        self._unknown: set[str] = set()

    def find(self, name: str) -> Plan:
        """Return the plan of that name, or the default."""
        plan = self._plans.get(name)
        if plan is not None:
            return plan
        if len(self._unknown) < 100 and name not in self._unknown:  # noqa: PLR2004 - bounds what is remembered
            self._unknown.add(name)
            log.warning("unknown plan", plan=name[:64])
        return self._plans[DEFAULT]


def load_plans(settings: GatewaySettings) -> Plans:
    """Read the plans; raises SettingsError when the file cannot be read or a plan is wrong."""
    default = Plan(
        requests_per_minute=settings.rate_limit_requests,
        window=settings.rate_limit_window,
        burst=settings.rate_limit_burst,
        streams=settings.streams_per_user,
    )
    found = _read(settings.plans_file) if settings.plans_file else {}
    plans = {DEFAULT: default, **{name: _plan(name, members) for name, members in found.items()}}
    for name, plan in plans.items():
        try:
            plan.limits("user")
        except ValueError as error:
            raise SettingsError(f"plan {name}: {error}") from None
    return Plans(plans)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"PLANS_FILE: cannot be read ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise SettingsError("PLANS_FILE: must name plans, each with its members")
    return found


def _plan(name: str, members: Any) -> Plan:
    try:
        return Plan.model_validate(members)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise SettingsError(f"PLANS_FILE: {name}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
