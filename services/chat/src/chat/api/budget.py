"""Route of the caller's budget."""

from typing import Annotated

from fastapi import APIRouter, Depends

from chat.admission.budget_report import PeriodReport
from chat.api.dependencies import Services
from chat.protocols.parley.budget import BudgetPeriod, BudgetResource, TokensPerMinute
from parley.security.identity import Principal, caller

router = APIRouter(prefix="/api/v1", tags=["models"])


@router.get("/usage/budget")
async def get_budget(
    principal: Annotated[Principal, Depends(caller("history:read"))], services: Services
) -> BudgetResource:
    """Return what is left of the caller's budgets in US dollars, and of the tokens per minute.

    Null: no limit in US dollars. A plan may limit the tokens of a day or month as well; those are not reported.
    """
    found = await services.budget_reports.report(principal.user_id, principal.plan)
    tokens = found.tokens_per_minute
    return BudgetResource(
        plan=principal.plan,
        day=_period(found.day),
        month=_period(found.month),
        tokens_per_minute=tokens and TokensPerMinute(limit=tokens.limit, remaining=tokens.remaining),
    )


def _period(report: PeriodReport | None) -> BudgetPeriod | None:
    if report is None:
        return None
    return BudgetPeriod(
        limit=report.limit,
        used=report.used,
        reserved=report.reserved,
        remaining=report.remaining,
        resets_at=report.resets_at,
    )
