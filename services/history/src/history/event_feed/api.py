"""Event feed route."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from history.dependencies import PAGE_RESPONSES, Responses
from history.event_feed.service import FeedService
from parley.security.identity import Principal, caller

router = APIRouter(prefix="/api/v1", tags=["reading"])

FEED_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
FEED_RESPONSES: Responses = {
    200: {"content": {"text/event-stream": {}}, "description": "`event:` is the type, `data:` the CloudEvent."},
    **PAGE_RESPONSES,
    410: {"description": "`cursor_expired`"},
}


async def feed_service(request: Request) -> FeedService:
    """Return the service that ``wire`` opened."""
    service: FeedService = request.app.state.wired.feed
    return service


@router.get("/events", response_class=StreamingResponse, responses=FEED_RESPONSES)
async def follow_events(
    user: Annotated[Principal, Depends(caller("events:read"))],
    feed: Annotated[FeedService, Depends(feed_service)],
    after: Annotated[str | None, Query(description="The `id:` of the last event received.")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Stream the events of your conversations, starting now or after a cursor."""
    position = await feed.begin(user.user_id, last_event_id or after)
    blocks = feed.follow(user.user_id, position, until=user.expires_at)
    return StreamingResponse(
        blocks, media_type="text/event-stream", headers=FEED_HEADERS | {"X-Parley-Ping": f"{feed.ping_interval:g}"}
    )
