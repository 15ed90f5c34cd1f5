"""``/v1/conversations/{id}/items``: creation and deletion of items."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from chat.admission.conversations import exchange_of
from chat.api.chat import JSON
from chat.api.dependencies import Caller, Services
from chat.api.documentation import KEY_PARAMETERS
from chat.api.openai_responses.checks import CHECKS_INCLUDE
from chat.api.openai_responses.conversations import conversation_resource, parse_conversation
from chat.api.openai_responses.documentation import CONVERSATION, ITEMS
from chat.api.openai_responses.new_items import checked_items, items_request
from chat.api.request_checks import invalid, refuse_parameters
from chat.api.request_parsing import idempotency_key_of
from chat.errors import ConversationNotFound, Erased, HistoryUnavailable, MessageNotFound, TurnInProgress
from chat.protocols.openai_responses.conversation_items import items_of
from chat.protocols.openai_responses.pages import first_page
from chat.protocols.openai_responses.schemas import NewItemsRequest
from parley.errors import InvalidJson, InvalidRequest, UnsupportedMediaType, ValidationFailed
from parley.security.identity import Principal, caller
from parley.web.app import JsonRoute
from parley.web.idempotency_keys import IdempotencyKeyReused
from parley.web.openapi import problems

router = APIRouter(prefix="/v1/conversations", route_class=JsonRoute, tags=["openai"], dependencies=CHECKS_INCLUDE)

CREATION_ERRORS = problems(
    InvalidJson,
    InvalidRequest,
    UnsupportedMediaType,
    ValidationFailed,
    ConversationNotFound,
    TurnInProgress,
    IdempotencyKeyReused,
    Erased,
    HistoryUnavailable,
)
DELETION_ERRORS = problems(ConversationNotFound, MessageNotFound, TurnInProgress, HistoryUnavailable)
Writer = Annotated[Principal, Depends(caller("history:write"))]


@router.post(
    "/{conversation_id}/items",
    response_class=Response,
    openapi_extra=KEY_PARAMETERS,
    responses={**ITEMS, **CREATION_ERRORS},
)
async def create_conversation_items(
    conversation_id: str, body: NewItemsRequest, request: Request, principal: Caller, services: Services
) -> Response:
    """Put up to 20 items into a conversation, behind its newest answer. No model is asked, and nothing is charged."""
    refuse_parameters(body.unknown)
    if not body.items:
        raise invalid("/items", "required", "At least one item is required.")
    items = checked_items(body.items)
    key = idempotency_key_of(request, principal.user_id, body)
    found = items_request(request, principal, parse_conversation(conversation_id), items, key)
    turns, replayed = await services.items.insert(found)
    shown = [item for turn in turns for item in items_of(exchange_of(turn))]
    headers = {"Idempotency-Replayed": "true"} if replayed else None
    return Response(orjson.dumps(first_page(shown, len(shown))), media_type=JSON, headers=headers)


@router.delete(
    "/{conversation_id}/items/{item_id}", response_class=Response, responses={**CONVERSATION, **DELETION_ERRORS}
)
async def delete_conversation_item(
    conversation_id: str, item_id: str, principal: Writer, services: Services
) -> Response:
    """Delete an item for good and return the conversation. The items after it stay, and follow the one before it."""
    found = parse_conversation(conversation_id)
    await services.conversation_reader.newest_answer(principal.user_id, found)
    conversation = await services.conversations.create(principal.user_id, found)  # it exists: history describes it
    await services.items.delete(principal.user_id, found, item_id)
    shown = conversation_resource(found, orjson.loads(conversation.body))
    return Response(orjson.dumps(shown), media_type=JSON)
