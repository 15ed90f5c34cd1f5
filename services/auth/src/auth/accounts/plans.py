"""Plan names from the operator's ``plans.yaml``; auth ignores the limits."""

from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from parley.config import plans

DEFAULT_PLAN = plans.DEFAULT_PLAN


class NamedPlan(BaseModel):
    """A plan without its limits."""

    model_config = ConfigDict(extra="ignore", frozen=True)


Plans: TypeAlias = plans.Plans[NamedPlan]


def read_plans(path: Path | None) -> Plans:
    """Return the plans of a file, or the default plan without one; raises SettingsError."""
    return plans.read_plans(path, NamedPlan())
