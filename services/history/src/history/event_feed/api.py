"""Event feed route."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from history.errors import CursorExpired
from history.event_feed.service import FeedService
from parley.errors import InvalidCursor, Overloaded
from parley.security.identity import Principal, caller
from parley.web.openapi import ResponseDocs, problems

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="ID of the last event received. It takes precedence over `after`.",
        examples=["5"],
    ),
]
router = APIRouter(prefix="/api/v1", tags=["reading"])

EXAMPLE = 'id: WzQyXQ\nevent: conversation.turn.completed\ndata: {"specversion":"1.0","id":"…","data":{}}\n\n'
FEED_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
FEED_RESPONSES: ResponseDocs = {
    200: {
        "description": "Server-sent events: `id:` is the cursor, `event:` the type, `data:` the CloudEvent. "
        "The data of each type is described in `/asyncapi.yaml`.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": EXAMPLE,
                "x-events": {
                    "*": ["FeedEvent"],
                    "draining": ["DrainingEvent"],
                    "session_revoked": ["SessionRevokedEvent"],
                },
            }
        },
    },
    **problems(InvalidCursor, CursorExpired, Overloaded),
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
    last_event_id: LastEventId = None,
) -> StreamingResponse:
    """Stream the events of your conversations, starting now or after a cursor."""
    position = await feed.begin(user.user_id, last_event_id or after)
    blocks = feed.follow(user.user_id, position, until=user.expires_at)
    return StreamingResponse(
        blocks, media_type="text/event-stream", headers=FEED_HEADERS | {"X-Parley-Ping": f"{feed.ping_interval:g}"}
    )
