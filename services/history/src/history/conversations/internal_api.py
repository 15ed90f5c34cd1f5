"""Internal conversation routes; the gateway does not expose them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from history.conversations.api import Conversations
from history.conversations.schemas import Conversation, ConversationOwnerResponse, DeletionsResponse, NewConversation
from history.dependencies import NOT_FOUND_RESPONSES, parse_conversation_id
from parley.security.identity import INTERNAL_SCOPE, caller
from parley.web.app import JsonRoute

router = APIRouter(
    prefix="/internal/conversations",
    route_class=JsonRoute,
    tags=["internal"],
    include_in_schema=False,
    dependencies=[Depends(caller(INTERNAL_SCOPE))],
)

MAX_DELETIONS = 1_000
"""Deletions in one response."""
FIRST_ID = UUID(int=0)


@router.get("/{conversation_id}/owner", responses=NOT_FOUND_RESPONSES)
async def conversation_owner(conversation_id: str, conversations: Conversations) -> ConversationOwnerResponse:
    """Return the owner of a conversation, even of a deleted one, its newest answer and the chosen answer."""
    return await conversations.owner(parse_conversation_id(conversation_id))


@router.get("/deleted")
async def deleted_conversations(
    conversations: Conversations,
    deleted_at: datetime | None = None,
    conversation_id: UUID = FIRST_ID,
    limit: Annotated[int, Query(ge=1, le=MAX_DELETIONS)] = MAX_DELETIONS,
) -> DeletionsResponse:
    """Return deletions after the given one, oldest first; chat compares them with its own."""
    after = (deleted_at, conversation_id) if deleted_at else None
    return DeletionsResponse(deletions=await conversations.deletions(after, limit))


@router.put("/{conversation_id}", responses=NOT_FOUND_RESPONSES)
async def create_conversation(
    conversation_id: UUID,
    body: NewConversation,
    conversations: Conversations,
    response: Response,
) -> Conversation:
    """Create an empty conversation of a user (201), or return the existing one (200)."""
    found, new = await conversations.create(body.user_id, conversation_id, body.metadata)
    response.status_code = 201 if new else 200
    response.headers["ETag"] = f'"{found.version}"'
    return found
