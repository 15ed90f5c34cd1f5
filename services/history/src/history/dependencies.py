"""Request parameters and response descriptions shared by several routes."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Query

from history.errors import ConversationNotFound
from parley.errors import InvalidCursor, PreconditionFailed
from parley.ids import parse_id
from parley.security.identity import Principal, caller
from parley.web.openapi import problems

Reader = Annotated[Principal, Depends(caller("history:read"))]
Writer = Annotated[Principal, Depends(caller("history:write"))]
Limit = Annotated[int, Query(ge=1, le=100, description="Entries per page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the previous page.")]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="The ETag of the version to change.", examples=['"3"'])
]

NOT_FOUND_RESPONSES = problems(ConversationNotFound)
CHANGE_RESPONSES = problems(ConversationNotFound, PreconditionFailed)
PAGE_RESPONSES = problems(InvalidCursor)


def parse_conversation_id(text: str) -> UUID:
    """Parse the conversation id in a path; raises ConversationNotFound for a malformed id too."""
    found = parse_id(text)
    if found is None:
        raise ConversationNotFound
    return found
