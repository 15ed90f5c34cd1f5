"""Plans: how much a user may ask for, from the operator's file and the token's claim."""

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from gateway.settings import GatewaySettings
from parley.config import plans
from parley.config.settings import SettingsError
from parley.ratelimit.limiter import Limit

DAY = 86_400


class Plan(BaseModel):
    """What of a plan concerns the gateway; the other members are chat's and history's."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    requests_per_minute: int = Field(600, ge=1)
    window: int = Field(60, ge=1, le=DAY)
    burst: int = Field(100, ge=1)
    requests_per_day: int | None = Field(None, ge=1)
    streams: int = Field(20, ge=1)

    def limits(self, user: str, *, strict: bool = False) -> tuple[Limit, ...]:
        """Return the limits of one user; ``strict`` for what costs money or guesses passwords."""
        minute = Limit("user", user, self.requests_per_minute, self.window, self.burst, strict)
        if self.requests_per_day is None:
            return (minute,)
        return (minute, Limit("user-day", user, self.requests_per_day, DAY, self.requests_per_day, strict))


Plans: TypeAlias = plans.Plans[Plan]


def load_plans(settings: GatewaySettings) -> Plans:
    """Read the plans; raises SettingsError when the file cannot be read or a plan is wrong."""
    default = Plan(
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
