"""Request parameters and response descriptions shared by several routes."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Query

from history.errors import ConversationNotFound
from parley.ids import parse_id
from parley.security.identity import Principal, caller
from parley.web.validation import FieldValueError

Reader = Annotated[Principal, Depends(caller("history:read"))]
Writer = Annotated[Principal, Depends(caller("history:write"))]
Limit = Annotated[int, Query(ge=1, le=100, description="Entries per page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the previous page.")]
IfMatch = Annotated[str | None, Header(description="The ETag of the version to change.")]

Responses = dict[int | str, dict[str, Any]]

NOT_FOUND_RESPONSES: Responses = {404: {"description": "`conversation_not_found`"}}
CHANGE_RESPONSES: Responses = {**NOT_FOUND_RESPONSES, 412: {"description": "`precondition_failed`"}}
PAGE_RESPONSES: Responses = {400: {"description": "`invalid_cursor`"}}


def parse_conversation_id(text: str) -> UUID:
    """Parse the conversation id in a path; raises ConversationNotFound for a malformed id too."""
    found = parse_id(text)
    if found is None:
        raise ConversationNotFound
    return found


def not_blank(text: str) -> str:
    """Return the text unchanged; raises FieldValueError when it is empty or whitespace."""
    if not text.strip():
        raise FieldValueError("blank", "Must not be blank.")
    return text
