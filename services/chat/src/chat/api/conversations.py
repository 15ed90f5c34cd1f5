"""``PUT /conversations/{id}``: creates an empty conversation. All its other routes belong to history."""

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat.api.dependencies import Caller, Services
from chat.errors import ConversationNotFound, Erased, HistoryUnavailable
from chat.protocols.parley.schemas import CLIENT_ID_VERSIONS, INVALID_CLIENT_ID
from parley.errors import InvalidRequest, ValidationFailed
from parley.field_errors import FieldError
from parley.ids import parse_id
from parley.web.openapi import ETAG, EXAMPLE_ID, location, problems

router = APIRouter(prefix="/api/v1/conversations", tags=["conversations"])

CREATED = {"id": EXAMPLE_ID}


@router.put(
    "/{conversation_id}",
    response_class=Response,
    responses={
        200: {
            "description": "The conversation exists. The body is as of `GET`; without the scope `history:read`, "
            "it has only the `id`.",
            "headers": ETAG,
            "content": {"application/json": {"schema": {"type": "object"}, "example": CREATED}},
        },
        201: {
            "description": "The conversation is new.",
            "headers": {**ETAG, **location("The conversation.", f"/api/v1/conversations/{EXAMPLE_ID}")},
            "content": {"application/json": {"schema": {"type": "object"}, "example": CREATED}},
        },
        **problems(InvalidRequest, ValidationFailed, ConversationNotFound, Erased, HistoryUnavailable),
    },
)
async def create_conversation(
    conversation_id: str, request: Request, principal: Caller, services: Services
) -> Response:
    """Create an empty conversation under an ID of your own, a UUID of version 4 or 7. The request has no body."""
    if "if-match" in request.headers:
        raise InvalidRequest("PUT never changes an existing conversation. Omit If-Match, or send it with PATCH.")
    wanted = parse_id(conversation_id)
    if wanted is None:
        raise ConversationNotFound
    if wanted.version not in CLIENT_ID_VERSIONS:
        raise ValidationFailed([FieldError("/conversation_id", "invalid_format", INVALID_CLIENT_ID)])
    found = await services.conversations.create(principal.user_id, wanted)
    headers = {"ETag": found.etag, **({"Location": request.url.path} if found.new else {})}
    readable = found.new or "history:read" in principal.scopes
    body = found.body if readable else orjson.dumps({"id": str(wanted)})
    return Response(body, 201 if found.new else 200, headers, "application/json")
