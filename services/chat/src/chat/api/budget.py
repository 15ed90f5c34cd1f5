"""Routes of budgets: the caller's, and for administrators that of any user."""

from typing import Annotated

from fastapi import APIRouter, Depends

from chat.admission.budget_report import BudgetReport, PeriodReport
from chat.api.dependencies import Services
from chat.protocols.parley.budget import BudgetPeriod, BudgetResource, TokensPerMinute
from parley.errors import DependencyUnavailable, NotFound
from parley.ids import parse_id
from parley.security.identity import Principal, caller
from parley.web.openapi import problems

router = APIRouter(prefix="/api/v1", tags=["models"])


@router.get("/usage/budget")
async def get_budget(
    principal: Annotated[Principal, Depends(caller("history:read"))], services: Services
) -> BudgetResource:
    """Return what is left of the caller's budgets in US dollars, and of the tokens per minute.

    Null: no limit in US dollars. A plan may limit the tokens of a day or month as well; those are not reported.
    """
    return _resource(await services.budget_reports.report(principal.user_id, principal.plan))


@router.get("/admin/users/{user_id}/budget", responses=problems(NotFound, DependencyUnavailable))
async def get_budget_of_user(
    user_id: str, principal: Annotated[Principal, Depends(caller("admin"))], services: Services
) -> BudgetResource:
    """Return what is left of a user's budgets in US dollars, and of the tokens per minute.

    Null: no such limit.
    """
    return _resource(await services.budget_reports.report_of_user(parse_id(user_id), principal.token))


def _resource(found: BudgetReport) -> BudgetResource:
    tokens = found.tokens_per_minute
    return BudgetResource(
        plan=found.plan,
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
