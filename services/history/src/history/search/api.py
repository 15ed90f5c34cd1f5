"""Search, usage and the event feed."""

from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator

from history.conversations.schemas import Role, SearchHit, UsageReport
from history.conversations.store import Grouping, SearchQuery
from history.dependencies import PAGED, Cursor, Limit, Reader, Services
from history.feed.service import FeedService
from history.search.service import SearchService
from history.usage.service import UsageService
from parley.security.identity import Principal, caller
from parley.web.problems import FieldValueError
from parley.web.schemas import Page, Text

router = APIRouter(prefix="/api/v1", tags=["reading"])

FEED_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
FEED_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "`event:` is the type, `data:` the CloudEvent."},
    **PAGED,
    410: {"description": "`cursor_expired`"},
}


def _not_blank(text: str) -> str:
    if not text.strip():
        raise FieldValueError("blank", "Must not be blank.")
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        raise FieldValueError("out_of_range", "Must be a moment of the years 1 to 9999.") from None


Moment = Annotated[datetime, AfterValidator(_in_utc)]
Follower = Annotated[Principal, Depends(caller("events:read"))]


@router.get("/search", responses=PAGED)
async def search_messages(
    user: Reader,
    services: Services,
    q: Annotated[Text, Query(min_length=1, max_length=200), AfterValidator(_not_blank)],
    role: Role | None = None,
    conversation_id: UUID | None = None,
    since: Annotated[Moment | None, Query(alias="from")] = None,
    until: Annotated[Moment | None, Query(alias="to")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[SearchHit]:
    """Find messages that hold every word of the query, in any language."""
    service: SearchService = services.search
    return await service.page(user.user_id, SearchQuery(q, role, conversation_id, since, until), cursor, limit)


@router.get("/usage")
async def report_usage(
    user: Reader,
    services: Services,
    since: Annotated[date | None, Query(alias="from", description="First day.")] = None,
    until: Annotated[date | None, Query(alias="to", description="The day after the last.")] = None,
    group: Grouping = "day",
    tz: Annotated[Text, Query(max_length=64, description="IANA name of a time zone.")] = "UTC",
) -> UsageReport:
    """Sum tokens and cost by day, model or conversation."""
    service: UsageService = services.usage
    return await service.report(user.user_id, since, until, group, tz)


@router.get("/events", response_class=StreamingResponse, responses=FEED_RESPONSES)
async def follow_events(
    user: Follower,
    services: Services,
    after: Annotated[str | None, Query(description="The `id:` of the last event seen.")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Stream what happens to the caller's conversations, from now or from a cursor on."""
    service: FeedService = services.feed
    position = await service.begin(user.user_id, last_event_id or after)
    blocks = service.follow(user.user_id, position, until=user.expires_at)
    return StreamingResponse(blocks, media_type="text/event-stream", headers=FEED_HEADERS)
