"""Parameters and descriptions that several routes share."""

from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request

from parley.security.identity import Principal, caller

Reader = Annotated[Principal, Depends(caller("history:read"))]
Writer = Annotated[Principal, Depends(caller("history:write"))]
Limit = Annotated[int, Query(ge=1, le=100, description="Entries of a page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the last page.")]
IfMatch = Annotated[str | None, Header(description="The ETag of the version that may be changed.")]

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"description": "`conversation_not_found`"}}
CHANGES: dict[int | str, dict[str, Any]] = {**NOT_FOUND, 412: {"description": "`precondition_failed`"}}
PAGED: dict[int | str, dict[str, Any]] = {400: {"description": "`invalid_cursor`"}}


async def wired(request: Request) -> Any:
    """Return what ``wire`` has opened; ``async``, or it would be called in a thread."""
    return request.app.state.wired


Services = Annotated[Any, Depends(wired)]
