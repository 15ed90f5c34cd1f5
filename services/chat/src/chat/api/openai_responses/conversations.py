"""``/v1/conversations``, OpenAI's Conversations API: creation and items. Its other routes belong to history."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat.admission.conversations import ConversationReader
from chat.api.chat import JSON
from chat.api.dependencies import Caller, Services
from chat.api.documentation import KEY_PARAMETERS
from chat.api.openai_responses.checks import CHECKS_INCLUDE
from chat.api.openai_responses.documentation import CONVERSATION, ITEM, ITEMS
from chat.api.openai_responses.new_items import checked_items, items_request
from chat.api.pages import DEFAULT_LIMIT, Limit, Order
from chat.api.request_checks import invalid, refuse_parameters
from chat.api.request_parsing import idempotency_key_of
from chat.errors import ConversationNotFound, Erased, HistoryUnavailable, MessageNotFound
from chat.protocols.openai_responses import ids
from chat.protocols.openai_responses.conversation_items import items_of
from chat.protocols.openai_responses.pages import page
from chat.protocols.openai_responses.schemas import NewConversationRequest
from parley.errors import InvalidCursor, InvalidJson, InvalidRequest, UnsupportedMediaType, ValidationFailed
from parley.web.app import JsonRoute
from parley.web.idempotency_keys import IdempotencyKeyReused
from parley.web.openapi import problems

router = APIRouter(prefix="/v1/conversations", route_class=JsonRoute, tags=["openai"], dependencies=CHECKS_INCLUDE)

FOREIGN_ITEM = "`after` is no item of this conversation."
NOT_FOUND = problems(
    ConversationNotFound, MessageNotFound, HistoryUnavailable, InvalidCursor, InvalidRequest, ValidationFailed
)
CREATION_ERRORS = problems(
    InvalidJson,
    InvalidRequest,
    UnsupportedMediaType,
    ValidationFailed,
    ConversationNotFound,
    IdempotencyKeyReused,
    Erased,
    HistoryUnavailable,
)


@router.post("", response_class=Response, openapi_extra=KEY_PARAMETERS, responses={**CONVERSATION, **CREATION_ERRORS})
async def create_openai_conversation(
    body: NewConversationRequest, request: Request, principal: Caller, services: Services
) -> Response:
    """Create a conversation with up to 20 items, in which ``conversation`` of a response goes on.

    With an ``Idempotency-Key``, repeated requests create it once.
    """
    items = checked_items(body.items or ())
    refuse_parameters(body.unknown)
    key, metadata = idempotency_key_of(request, principal.user_id, body), dict(body.metadata or {})
    conversation_id, created = await services.conversations.create_new(principal.user_id, metadata, key)
    replayed = not created.new
    if items:
        items_key = replace(key, route=f"{key.route}#items") if key is not None else None
        _, repeated = await services.items.insert(items_request(request, principal, conversation_id, items, items_key))
        replayed = replayed and repeated
    kept = {**orjson.loads(created.body), "metadata": metadata}
    return _json(conversation_resource(conversation_id, kept), {"Idempotency-Replayed": "true"} if replayed else None)


@router.get("/{conversation_id}/items", response_class=Response, responses={**ITEMS, **NOT_FOUND})
async def list_conversation_items(
    conversation_id: str,
    principal: Caller,
    services: Services,
    *,
    limit: Limit = DEFAULT_LIMIT,
    order: Order = "desc",
    after: str | None = None,
) -> Response:
    """List the items of a conversation, newest first: those of the branch that its newest answer ends."""
    found = parse_conversation(conversation_id)
    reader = services.conversation_reader
    if order == "asc":
        return _json(await _oldest_first(reader, principal.user_id, found, limit, after))
    return _json(await _newest_first(reader, principal.user_id, found, limit, after))


@router.get("/{conversation_id}/items/{item_id}", response_class=Response, responses={**ITEM, **NOT_FOUND})
async def get_conversation_item(conversation_id: str, item_id: str, principal: Caller, services: Services) -> Response:
    """Return one item of a conversation."""
    turn_id = ids.turn_of_item(item_id)
    if turn_id is None:
        raise MessageNotFound
    branch = await services.conversation_reader.branch(principal.user_id, parse_conversation(conversation_id), turn_id)
    items = items_of(branch.exchanges[0]) if branch.exchanges else []
    item = next((item for item in items if item["id"] == item_id), None)
    if item is None:
        raise MessageNotFound
    return _json(item)


async def _newest_first(
    reader: ConversationReader, user_id: UUID, conversation_id: UUID, limit: int, after: str | None
) -> dict[str, Any]:
    turn_id = ids.turn_of_item(after) if after is not None else None
    if after is not None and turn_id is None:
        raise InvalidCursor(FOREIGN_ITEM)
    try:
        branch = await reader.branch(user_id, conversation_id, turn_id)
    except MessageNotFound:
        raise InvalidCursor(FOREIGN_ITEM) from None
    items = [item for exchange in branch.exchanges for item in reversed(items_of(exchange))]
    return _page(items, limit, after, more=branch.more)


async def _oldest_first(
    reader: ConversationReader, user_id: UUID, conversation_id: UUID, limit: int, after: str | None
) -> dict[str, Any]:
    branch = await reader.branch(user_id, conversation_id)
    if branch.more:
        raise invalid("/order", "too_long", "The conversation is too long for this order. Send `desc`.")
    items = [item for exchange in reversed(branch.exchanges) for item in items_of(exchange)]
    return _page(items, limit, after)


def _page(items: Sequence[dict[str, Any]], limit: int, after: str | None, *, more: bool = False) -> dict[str, Any]:
    found = page(items, limit, after, more=more)
    if found is None:
        raise InvalidCursor(FOREIGN_ITEM)
    return found


def parse_conversation(given: str) -> UUID:
    """Return the ID of a conversation in a path; raises ConversationNotFound."""
    found = ids.parse(given, "conv")
    if found is None:
        raise ConversationNotFound
    return found


def conversation_resource(conversation_id: UUID, kept: dict[str, Any]) -> dict[str, Any]:
    """Return a conversation of history in OpenAI's format."""
    created_at = int(datetime.fromisoformat(kept["created_at"]).timestamp())
    members = {"created_at": created_at, "metadata": kept["metadata"]}
    return {"id": ids.conversation_id(conversation_id), "object": "conversation", **members}


def _json(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), media_type=JSON, headers=headers)
