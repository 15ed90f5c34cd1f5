"""Search route."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AfterValidator

from history.dependencies import PAGE_RESPONSES, Cursor, Limit, Reader
from history.messages.schemas import Role
from history.search.schemas import SearchHit
from history.search.service import SearchService
from history.search.store import SearchQuery
from parley.web.schemas import Page, Text, not_blank
from parley.web.validation import FieldValueError

router = APIRouter(prefix="/api/v1", tags=["reading"])


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        raise FieldValueError("out_of_range", "Must be between the years 1 and 9999 in UTC.") from None


_ZONE = "Without a time zone, it is in UTC."
UtcDatetime = Annotated[datetime, AfterValidator(_in_utc)]


async def search_service(request: Request) -> SearchService:
    """Return the service that ``wire`` opened."""
    service: SearchService = request.app.state.wired.search
    return service


@router.get("/search", responses=PAGE_RESPONSES)
async def search_messages(
    user: Reader,
    search: Annotated[SearchService, Depends(search_service)],
    q: Annotated[Text, Query(min_length=1, max_length=200), AfterValidator(not_blank)],
    role: Role | None = None,
    conversation_id: UUID | None = None,
    since: Annotated[
        UtcDatetime | None, Query(alias="from", description=f"Messages from this time on. {_ZONE}")
    ] = None,
    until: Annotated[UtcDatetime | None, Query(alias="to", description=f"Messages before this time. {_ZONE}")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[SearchHit]:
    """Find messages that contain every word of the query, in any language.

    `"quoted words"` must be next to each other, and a message with a `-word` or `-"some words"` is left out. The last
    word is a prefix. English words are found in every form, and traditional and simplified Chinese characters find
    each other. The newest 500 messages that match come first, best match first; older ones follow.
    """
    return await search.page(user.user_id, SearchQuery(q, role, conversation_id, since, until), cursor, limit)
