"""Conversations and their messages."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from history.conversations.schemas import Archived, Conversation, ConversationPatch, Message, Order
from history.conversations.service import ConversationService, MessageQuery, MessageService, path_id
from history.conversations.store import ListFilter
from history.dependencies import CHANGES, NOT_FOUND, PAGED, Cursor, IfMatch, Limit, Reader, Services, Writer
from parley.web.app import JsonRoute
from parley.web.schemas import Page, Text

router = APIRouter(prefix="/api/v1/conversations", route_class=JsonRoute, tags=["conversations"])


@router.get("", responses=PAGED)
async def list_conversations(
    user: Reader,
    services: Services,
    archived: Archived = "false",
    q: Annotated[Text | None, Query(max_length=200, description="A part of the title.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Conversation]:
    """List the caller's conversations, the newest update first."""
    service: ConversationService = services.conversations
    return await service.page(ListFilter(user.user_id, archived, q or None), cursor, limit)


@router.get("/{conversation_id}", responses=NOT_FOUND)
async def get_conversation(conversation_id: str, user: Reader, services: Services, response: Response) -> Conversation:
    """Return a conversation with its totals."""
    service: ConversationService = services.conversations
    found = await service.get(user.user_id, path_id(conversation_id))
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.patch("/{conversation_id}", responses=CHANGES)
async def update_conversation(
    conversation_id: str,
    patch: ConversationPatch,
    user: Writer,
    services: Services,
    response: Response,
    if_match: IfMatch = None,
) -> Conversation:
    """Rename, archive, choose the active branch, or replace the metadata."""
    service: ConversationService = services.conversations
    found = await service.patch(user.user_id, path_id(conversation_id), patch, if_match)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.delete("/{conversation_id}", status_code=204, responses=CHANGES)
async def delete_conversation(conversation_id: str, user: Writer, services: Services, if_match: IfMatch = None) -> None:
    """Delete a conversation: it is gone at once, and purged when the plan's retention is over."""
    service: ConversationService = services.conversations
    await service.delete(user.user_id, path_id(conversation_id), user.plan, if_match)


@router.get("/{conversation_id}/messages", responses={**NOT_FOUND, **PAGED})
async def list_messages(
    conversation_id: str,
    user: Reader,
    services: Services,
    order: Order = "asc",
    tree: Annotated[bool, Query(description="Every branch in creation order, instead of the active one.")] = False,
    wait_for: Annotated[UUID | None, Query(description="A turn to wait for, at most 2 s.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Message]:
    """List the messages of the active branch, oldest first, or of the whole tree."""
    service: MessageService = services.messages
    query = MessageQuery(order, tree, wait_for, cursor, limit)
    return await service.page(user.user_id, path_id(conversation_id), query)
