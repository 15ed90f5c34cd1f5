"""Which plans there are: of the operator's ``plans.yaml`` auth needs only the names."""

from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from parley.config import plans

DEFAULT_PLAN = plans.DEFAULT_PLAN


class Plan(BaseModel):
    """A plan, whatever it allows."""

    model_config = ConfigDict(extra="ignore", frozen=True)


Plans: TypeAlias = plans.Plans[Plan]


def read_plans(path: Path | None) -> Plans:
    """Read the plans; raises SettingsError."""
    return plans.read_plans(path, Plan())
