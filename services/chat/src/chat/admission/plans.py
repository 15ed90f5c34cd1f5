"""Plans: the models, tokens and budgets that a user may use."""

from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from chat.files.model import MAX_FILE_BYTES, FileLimits
from parley.config import plans


class ChatPlan(BaseModel):
    """The part of a plan that concerns chat. None means unlimited."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    tokens_per_minute: int | None = Field(100_000, ge=1, le=100_000_000)
    tokens_per_day: int | None = Field(None, ge=1)
    tokens_per_month: int | None = Field(None, ge=1)
    usd_per_day: Decimal | None = Field(Decimal(5), ge=0)
    usd_per_month: Decimal | None = Field(Decimal(50), ge=0)
    streams: int = Field(20, ge=1)
    models: tuple[str, ...] = ("*",)
    file_bytes: int = Field(52_428_800, ge=0, le=MAX_FILE_BYTES)
    storage_bytes: int = Field(1_073_741_824, ge=0, le=2**50)
    file_count: int = Field(1000, ge=0, le=100_000)

    def file_limits(self) -> FileLimits:
        """Return what the plan allows of files."""
        return FileLimits(self.file_bytes, self.storage_bytes, self.file_count)

    def allows(self, alias: str) -> bool:
        """Tell whether the plan includes a model."""
        return any(fnmatchcase(alias, pattern) for pattern in self.models)


ChatPlans: TypeAlias = plans.Plans[ChatPlan]


def load_plans(path: Path | None) -> ChatPlans:
    """Return the plans of a file; raises SettingsError if it is unreadable or invalid."""
    return plans.read_plans(path, ChatPlan())
