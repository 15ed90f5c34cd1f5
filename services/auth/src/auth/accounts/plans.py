"""Plans from the operator's ``plans.yaml``: their names, and the longest lifetime of API keys."""

from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from parley.config import plans

DEFAULT_PLAN = plans.DEFAULT_PLAN
MAX_KEY_DAYS = 3650


class AuthPlan(BaseModel):
    """The part of a plan that concerns auth. None means that API keys may live for ever."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    api_key_max_days: int | None = Field(None, ge=1, le=MAX_KEY_DAYS)


Plans: TypeAlias = plans.Plans[AuthPlan]


def load_plans(path: Path | None) -> Plans:
    """Return the plans of a file, or the default plan without one; raises SettingsError."""
    return plans.read_plans(path, AuthPlan())
