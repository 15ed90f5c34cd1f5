"""Quota of imports: the bytes that all imported conversations of a user may have together."""

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from parley.config.plans import read_plans

CONVERSATION_BYTES = 4096
"""Bytes that a conversation counts for its rows and events, besides its JSON in the file."""
USED_UP = "Your imported conversations have reached the limit of your plan. Deleted ones count until they are purged."

ImportQuota = Callable[[str], int]
"""Returns how many bytes of imports a plan allows a user to keep."""


class ImportPlan(BaseModel):
    """The part of a plan that concerns imports."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    import_bytes: int = Field(1_073_741_824, ge=0, le=2**50, strict=True)


def read_import_quota(path: Path | None) -> ImportQuota:
    """Return the quota of each plan of a plans file; raises SettingsError when the file is missing or invalid."""
    plans = read_plans(path, ImportPlan())
    return lambda plan: plans.find(plan).import_bytes
