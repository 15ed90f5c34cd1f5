"""Conversation routes."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from history.conversations.schemas import Archived, Conversation, ConversationPatch
from history.conversations.service import ConversationService
from history.conversations.store import ConversationFilter
from history.dependencies import (
    CHANGE_RESPONSES,
    NOT_FOUND_RESPONSES,
    PAGE_RESPONSES,
    Cursor,
    IfMatch,
    Limit,
    Reader,
    Writer,
    parse_conversation_id,
)
from history.errors import ConversationNotFound, MessageNotFound
from parley.web.app import JsonRoute
from parley.web.conditional_requests import NOT_MODIFIED, IfNoneMatch, not_modified
from parley.web.etags import has_current
from parley.web.openapi import ETAG, problems
from parley.web.schemas import Page, Text

router = APIRouter(prefix="/api/v1/conversations", route_class=JsonRoute, tags=["conversations"])


async def conversation_service(request: Request) -> ConversationService:
    """Return the service that ``wire`` opened."""
    service: ConversationService = request.app.state.wired.conversations
    return service


Conversations = Annotated[ConversationService, Depends(conversation_service)]


@router.get("", responses=PAGE_RESPONSES)
async def list_conversations(
    user: Reader,
    conversations: Conversations,
    archived: Archived = "false",
    q: Annotated[Text | None, Query(max_length=200, description="A part of the title, in any case.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Conversation]:
    """List your conversations, most recently updated first.

    With `q`, a page compares 5,000 titles at most. It can have few entries or none although `next_cursor` is not null:
    send the cursor to compare older ones.
    """
    return await conversations.page(ConversationFilter(user.user_id, archived, q or None), cursor, limit)


@router.get(
    "/{conversation_id}",
    response_model=Conversation,
    responses={200: {"headers": ETAG}, **NOT_MODIFIED, **NOT_FOUND_RESPONSES},
)
async def get_conversation(
    conversation_id: str,
    user: Reader,
    conversations: Conversations,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> Conversation | Response:
    """Return a conversation with its totals."""
    found = await conversations.get(user.user_id, parse_conversation_id(conversation_id))
    etag = f'"{found.version}"'
    if has_current(if_none_match, etag):
        return not_modified(etag)
    response.headers["ETag"] = etag
    return found


@router.patch(
    "/{conversation_id}",
    responses={200: {"headers": ETAG}, **CHANGE_RESPONSES, **problems(ConversationNotFound, MessageNotFound)},
)
async def update_conversation(
    conversation_id: str,
    patch: ConversationPatch,
    user: Writer,
    conversations: Conversations,
    response: Response,
    if_match: IfMatch = None,
) -> Conversation:
    """Rename or archive a conversation, select its active branch, or replace its metadata."""
    found = await conversations.patch(user.user_id, parse_conversation_id(conversation_id), patch, if_match)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.delete("/{conversation_id}", status_code=204, responses=CHANGE_RESPONSES)
async def delete_conversation(
    conversation_id: str, user: Writer, conversations: Conversations, if_match: IfMatch = None
) -> None:
    """Delete a conversation. It disappears at once and is purged after the retention time of your plan."""
    await conversations.delete(user.user_id, parse_conversation_id(conversation_id), user.plan, if_match)
