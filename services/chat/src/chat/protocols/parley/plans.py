"""Body of the plans that an operator configured."""

from pydantic import Field

from chat.admission.plans import ChatPlan
from parley.web.schemas import Money, ResponseBody


class PlanResource(ResponseBody):
    """A plan with its limits on turns and files; null: no such limit."""

    name: str
    models: list[str] = Field(description="Patterns of the models that it includes.")
    tokens_per_minute: int | None
    tokens_per_day: int | None
    tokens_per_month: int | None
    usd_per_day: Money | None
    usd_per_month: Money | None
    file_bytes: int
    storage_bytes: int
    file_count: int


def plan_resource(name: str, plan: ChatPlan) -> PlanResource:
    """Return a plan as a resource."""
    return PlanResource(name=name, **plan.model_dump())
