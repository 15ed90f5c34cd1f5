"""How long a plan keeps what was deleted, from the operator's ``plans.yaml``."""

from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from history.conversations.store import Retention
from parley.config.plans import read_plans

LONGEST = 3650


class Plan(BaseModel):
    """What of a plan concerns history; None: as the settings say."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    retention_days: int | None = Field(None, ge=0, le=LONGEST, strict=True)


def read_retention(path: Path | None, default_days: int) -> Retention:
    """Return the retention of each plan; raises SettingsError when the file cannot be read or names nonsense."""
    plans = read_plans(path, Plan())

    def retention(name: str) -> timedelta:
        days = plans.find(name).retention_days
        return timedelta(days=default_days if days is None else days)

    return retention
