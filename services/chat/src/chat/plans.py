"""What a plan allows of models, tokens and money; the operator's file says, the token's claim names the plan."""

from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parley.settings import SettingsError

log = structlog.get_logger()

DEFAULT = "default"
REMEMBERED = 100


class Plan(BaseModel):
    """What of a plan concerns chat; null is no limit."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    tokens_per_minute: int | None = Field(100_000, ge=1, le=100_000_000)
    tokens_per_day: int | None = Field(None, ge=1)
    tokens_per_month: int | None = Field(None, ge=1)
    usd_per_day: Decimal | None = Field(Decimal(5), ge=0)
    usd_per_month: Decimal | None = Field(Decimal(50), ge=0)
    models: tuple[str, ...] = ("*",)

    def allows(self, alias: str) -> bool:
        """Say whether the plan may use a model."""
        return any(fnmatchcase(alias, pattern) for pattern in self.models)


class Plans:
    """All plans by name; an unknown one is the default, logged once."""

    def __init__(self, plans: Mapping[str, Plan]) -> None:
        self._plans = {DEFAULT: Plan(), **plans}
        self._unknown: set[str] = set()

    def find(self, name: str) -> Plan:
        """Return the plan of that name, or the default."""
        plan = self._plans.get(name)
        if plan is None and name not in self._unknown and len(self._unknown) < REMEMBERED:
            self._unknown.add(name)
            log.warning("unknown plan", plan=name[:64])
        return plan or self._plans[DEFAULT]


def load_plans(path: Path | None) -> Plans:
    """Read the plans; raises SettingsError when the file cannot be read or a plan is wrong."""
    if path is None:
        return Plans({})
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return Plans({str(name): Plan.model_validate(members) for name, members in found.items()})
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise SettingsError(f"PLANS_FILE: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise SettingsError(f"PLANS_FILE: cannot be read ({type(error).__name__})") from None
