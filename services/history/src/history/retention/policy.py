"""Retention of deleted conversations by plan, from the operator's ``plans.yaml``."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from parley.config.plans import read_plans

MAX_RETENTION_DAYS = 3650

RetentionPolicy = Callable[[str], timedelta]
"""Returns how long a plan keeps deleted conversations."""


class RetentionPlan(BaseModel):
    """The retention of a plan; None means the setting ``RETENTION_DAYS``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    retention_days: int | None = Field(None, ge=0, le=MAX_RETENTION_DAYS, strict=True)


def read_retention_policy(path: Path | None, default_days: int) -> RetentionPolicy:
    """Return the retention policy of a plans file; raises SettingsError when the file is missing or invalid."""
    plans = read_plans(path, RetentionPlan())

    def retention(plan: str) -> timedelta:
        days = plans.find(plan).retention_days
        return timedelta(days=default_days if days is None else days)

    return retention
