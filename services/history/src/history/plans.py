"""Plans: how much a user may import, and how long deleted conversations are kept."""

from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from parley.config.plans import Plans, read_plans

MAX_RETENTION_DAYS = 3650


class HistoryPlan(BaseModel):
    """The part of a plan that concerns history."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    retention_days: int | None = Field(None, ge=0, le=MAX_RETENTION_DAYS, strict=True)
    """None means the setting ``RETENTION_DAYS``."""
    import_bytes: int = Field(1_073_741_824, ge=0, le=2**50, strict=True)
    """Bytes that all imported conversations of a user may count together."""


HistoryPlans: TypeAlias = Plans[HistoryPlan]


def load_plans(path: Path | None) -> HistoryPlans:
    """Return the plans of a file; raises SettingsError when it is missing or invalid."""
    return read_plans(path, HistoryPlan())
