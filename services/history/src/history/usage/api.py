"""Usage report route."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from history.dependencies import Reader
from history.usage.schemas import UsageReport
from history.usage.service import UsageService
from history.usage.store import Grouping
from parley.web.schemas import Text

router = APIRouter(prefix="/api/v1", tags=["reading"])


async def usage_service(request: Request) -> UsageService:
    """Return the service that ``wire`` opened."""
    service: UsageService = request.app.state.wired.usage
    return service


@router.get("/usage")
async def report_usage(
    user: Reader,
    usage: Annotated[UsageService, Depends(usage_service)],
    since: Annotated[date | None, Query(alias="from", description="First day of the report.")] = None,
    until: Annotated[date | None, Query(alias="to", description="The day after the last day.")] = None,
    group: Grouping = "day",
    tz: Annotated[Text, Query(max_length=64, description="IANA name of a time zone.")] = "UTC",
) -> UsageReport:
    """Sum tokens and cost by day, model or conversation."""
    return await usage.report(user.user_id, since, until, group, tz)
