"""Internal conversation route; the gateway does not expose it."""

from typing import Annotated

from fastapi import APIRouter, Depends

from history.conversations.api import Conversations
from history.conversations.schemas import ConversationOwnerResponse
from history.dependencies import NOT_FOUND_RESPONSES, parse_conversation_id
from parley.security.identity import INTERNAL_SCOPE, Principal, caller

router = APIRouter(prefix="/internal/conversations", tags=["internal"], include_in_schema=False)


@router.get("/{conversation_id}/owner", responses=NOT_FOUND_RESPONSES)
async def conversation_owner(
    conversation_id: str, _caller: Annotated[Principal, Depends(caller(INTERNAL_SCOPE))], conversations: Conversations
) -> ConversationOwnerResponse:
    """Return the owner of a conversation, also of a deleted one, its last number and its newest answer."""
    return await conversations.owner(parse_conversation_id(conversation_id))
