"""Message routes."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from history.dependencies import (
    NOT_FOUND_RESPONSES,
    PAGE_RESPONSES,
    Cursor,
    Limit,
    Reader,
    parse_conversation_id,
)
from history.messages.schemas import Message, Order
from history.messages.service import MessageQuery, MessageService
from parley.web.schemas import Page

router = APIRouter(prefix="/api/v1/conversations", tags=["conversations"])


async def message_service(request: Request) -> MessageService:
    """Return the service that ``wire`` opened."""
    service: MessageService = request.app.state.wired.messages
    return service


@router.get("/{conversation_id}/messages", responses={**NOT_FOUND_RESPONSES, **PAGE_RESPONSES})
async def list_messages(
    conversation_id: str,
    user: Reader,
    messages: Annotated[MessageService, Depends(message_service)],
    order: Order = "asc",
    tree: Annotated[
        bool, Query(description="List every branch in creation order instead of the active branch.")
    ] = False,
    wait_for: Annotated[
        UUID | None, Query(description="Id of a turn. The response waits up to 2 s until the turn is stored.")
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Message]:
    """List the messages of the active branch, oldest first, or of the whole tree."""
    query = MessageQuery(order, tree, wait_for, cursor, limit)
    return await messages.page(user.user_id, parse_conversation_id(conversation_id), query)
