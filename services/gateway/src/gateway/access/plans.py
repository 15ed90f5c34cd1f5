"""Plans: the rate limits and stream limits of a user, from the operator's plans file."""

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from gateway.settings import GatewaySettings
from parley.config import plans
from parley.config.settings import SettingsError
from parley.ratelimit.limiter import Limit

DAY = 86_400


class GatewayPlan(BaseModel):
    """The members of a plan that the gateway enforces. Chat and history read the others."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    requests_per_minute: int = Field(600, ge=1)
    window: int = Field(60, ge=1, le=DAY)
    burst: int = Field(100, ge=1)
    requests_per_day: int | None = Field(None, ge=1)
    streams: int = Field(20, ge=1)

    def limits(self, user: str, *, strict: bool = False) -> tuple[Limit, ...]:
        """Return the limits of one user. ``strict`` applies to routes that cost money or check passwords."""
        minute = Limit("user", user, self.requests_per_minute, self.window, self.burst, strict)
        if self.requests_per_day is None:
            return (minute,)
        return (minute, Limit("user-day", user, self.requests_per_day, DAY, self.requests_per_day, strict))


GatewayPlans: TypeAlias = plans.Plans[GatewayPlan]


def load_plans(settings: GatewaySettings) -> GatewayPlans:
    """Read the plans file. Raise SettingsError when it cannot be read or a plan is invalid."""
    default = GatewayPlan(
        requests_per_minute=settings.rate_limit_requests,
        window=settings.rate_limit_window,
        burst=settings.rate_limit_burst,
        streams=settings.streams_per_user,
    )
    found = plans.read_plans(settings.plans_file, default)
    for name, plan in found.by_name.items():
        try:
            plan.limits("user")
        except ValueError as error:
            raise SettingsError(f"plan {name}: {error}") from None
    return found
