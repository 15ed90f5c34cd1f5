"""Usage report routes: one's own, and for administrators that of all users."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from history.dependencies import Reader
from history.usage.schemas import AdminUsageReport, UsageReport
from history.usage.service import UsageService
from history.usage.store import AdminGrouping, OwnGrouping
from parley.security.identity import Principal, caller
from parley.web.schemas import Text

router = APIRouter(prefix="/api/v1", tags=["reading"])


Administrator = Annotated[Principal, Depends(caller("admin"))]
Since = Annotated[date | None, Query(alias="from", description="First day of the report.")]
Until = Annotated[date | None, Query(alias="to", description="The day after the last day.")]
TimeZone = Annotated[Text, Query(max_length=64, description="IANA name of a time zone.")]
ModelAlias = Annotated[Text | None, Query(max_length=256, description="Only turns with this model.")]
UserId = Annotated[UUID | None, Query(description="Only turns of this user.")]


async def usage_service(request: Request) -> UsageService:
    """Return the service that ``wire`` opened."""
    service: UsageService = request.app.state.wired.usage
    return service


@router.get("/usage")
async def report_usage(
    user: Reader,
    usage: Annotated[UsageService, Depends(usage_service)],
    since: Since = None,
    until: Until = None,
    group: OwnGrouping = "day",
    tz: TimeZone = "UTC",
) -> UsageReport:
    """Sum tokens and cost by day, model or conversation."""
    return await usage.report(user.user_id, since, until, group, tz)


@router.get("/admin/usage")
async def report_usage_of_all_users(
    administrator: Administrator,
    usage: Annotated[UsageService, Depends(usage_service)],
    since: Since = None,
    until: Until = None,
    group: AdminGrouping = "user",
    tz: TimeZone = "UTC",
    user_id: UserId = None,
    model: ModelAlias = None,
) -> AdminUsageReport:
    """Sum tokens and cost of all users. The key is the ID of a user, a model, a day or a provider.

    A group of a user has the `username`, or null if the account was erased or auth does not respond.
    """
    return await usage.admin_report(user_id, since, until, group, tz, model=model, token=administrator.token)
