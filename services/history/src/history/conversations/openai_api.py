"""OpenAI's conversation routes. Chat creates conversations and lists their items."""

import re
from uuid import UUID

from fastapi import APIRouter

from history.conversations.api import Conversations
from history.conversations.schemas import (
    Conversation,
    ConversationPatch,
    DeletedOpenAIConversation,
    OpenAIConversation,
    OpenAIConversationUpdate,
)
from history.dependencies import CHANGE_RESPONSES, NOT_FOUND_RESPONSES, Reader, Writer, parse_conversation_id
from history.errors import ConversationNotFound
from parley.errors import InvalidJson, ValidationFailed
from parley.web.app import JsonRoute
from parley.web.openapi import problems

router = APIRouter(prefix="/v1/conversations", route_class=JsonRoute, tags=["openai"])

_ID = re.compile(r"conv_([0-9a-f]{32})\Z")


@router.get("/{conversation_id}", responses=NOT_FOUND_RESPONSES)
async def get_openai_conversation(
    conversation_id: str, user: Reader, conversations: Conversations
) -> OpenAIConversation:
    """Return a conversation in OpenAI's format."""
    return _to_openai(await conversations.get(user.user_id, _parse(conversation_id)))


@router.post(
    "/{conversation_id}",
    responses={**CHANGE_RESPONSES, **problems(ConversationNotFound, InvalidJson, ValidationFailed)},
)
async def update_openai_conversation(
    conversation_id: str, body: OpenAIConversationUpdate, user: Writer, conversations: Conversations
) -> OpenAIConversation:
    """Replace the metadata of a conversation."""
    patch = ConversationPatch(metadata=body.metadata)
    return _to_openai(await conversations.patch(user.user_id, _parse(conversation_id), patch, None))


@router.delete("/{conversation_id}", responses=CHANGE_RESPONSES)
async def delete_openai_conversation(
    conversation_id: str, user: Writer, conversations: Conversations
) -> DeletedOpenAIConversation:
    """Delete a conversation with its items. Running responses are cancelled."""
    found = _parse(conversation_id)
    await conversations.delete(user.user_id, found, user.plan, None)
    return DeletedOpenAIConversation(id=f"conv_{found.hex}")


def _parse(given: str) -> UUID:
    """Return the ID behind ``conv_…``; a UUID is itself."""
    match = _ID.match(given)
    return UUID(match[1]) if match is not None else parse_conversation_id(given)


def _to_openai(found: Conversation) -> OpenAIConversation:
    created = int(found.created_at.timestamp())
    return OpenAIConversation(id=f"conv_{found.id.hex}", created_at=created, metadata=found.metadata)
