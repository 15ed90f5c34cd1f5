"""Route of the configured plans, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from chat.api.dependencies import Services
from chat.api.pages import DEFAULT_LIMIT, Limit
from chat.protocols.parley.plans import PlanResource, plan_resource
from parley.errors import InvalidCursor, ValidationFailed
from parley.security.identity import Principal, caller
from parley.web import cursors
from parley.web.openapi import problems
from parley.web.schemas import Page

router = APIRouter(prefix="/api/v1/admin/plans", tags=["admin"])

CURSOR = "plans"


@router.get("", responses=problems(InvalidCursor, ValidationFailed))
async def list_plans(
    principal: Annotated[Principal, Depends(caller("admin"))],
    services: Services,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(max_length=cursors.MAX_LENGTH)] = None,
) -> Page[PlanResource]:
    """List the plans of `PLANS_FILE` by name, with their limits on turns and files.

    An account whose plan is not in the list has the limits of `default`. `GET /api/v1/admin/users?plan=…` lists the
    accounts of a plan.
    """
    del principal
    after = cursors.decode(CURSOR, cursor, [str])[0] if cursor is not None else ""
    found = sorted((name, plan) for name, plan in services.budgets.plans().items() if name > after)
    data = [plan_resource(name, plan) for name, plan in found[:limit]]
    more = len(found) > limit
    return Page(data=data, next_cursor=cursors.encode(CURSOR, [data[-1].name]) if more else None)
