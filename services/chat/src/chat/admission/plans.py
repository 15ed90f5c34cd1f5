"""What a plan allows of models, tokens and money; the operator's file says, the token's claim names the plan."""

from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from parley.config import plans


class ChatPlan(BaseModel):
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


ChatPlans: TypeAlias = plans.Plans[ChatPlan]


def load_plans(path: Path | None) -> ChatPlans:
    """Read the plans; raises SettingsError when the file cannot be read or a plan is wrong."""
    return plans.read_plans(path, ChatPlan())
