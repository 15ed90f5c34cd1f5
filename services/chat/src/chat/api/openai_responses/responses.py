"""``/v1/responses``, OpenAI's Responses API: a response is a turn."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from chat import errors
from chat.api.chat import JSON, failure_of
from chat.api.dependencies import Caller, Service, Services
from chat.api.documentation import COMPLETION_ERRORS, TURN_NOT_FOUND, TURN_PARAMETERS
from chat.api.openai_responses.checks import CHECKS_INCLUDE
from chat.api.openai_responses.documentation import DELETED, INPUT_ITEMS, RESPONSE, STORED_RESPONSE
from chat.api.openai_responses.requests import find_response, open_response
from chat.api.openai_responses.stream import stream_of
from chat.api.pages import DEFAULT_LIMIT, Limit, Order
from chat.api.request_parsing import cache_policy_of, idempotency_key_of, opened_headers, turn_headers
from chat.api.streaming import StreamingTurnResponse, abandonment
from chat.model import Turn
from chat.protocols.openai_responses import ids
from chat.protocols.openai_responses.pages import page
from chat.protocols.openai_responses.resource import input_items, response
from chat.protocols.openai_responses.schemas import ResponseRequest
from chat.service import ChatService
from parley.errors import InvalidCursor, InvalidRequest, ValidationFailed
from parley.field_errors import FieldError
from parley.web.app import JsonRoute
from parley.web.openapi import problems

router = APIRouter(prefix="/v1/responses", route_class=JsonRoute, tags=["openai"], dependencies=CHECKS_INCLUDE)

MAX_SEQUENCE = 1_000_000_000
NOT_READ = problems(errors.TurnNotFound, InvalidRequest, ValidationFailed)
NOT_LISTED = problems(errors.TurnNotFound, InvalidCursor, InvalidRequest, ValidationFailed)


@router.post("", response_class=Response, openapi_extra=TURN_PARAMETERS, responses={**RESPONSE, **COMPLETION_ERRORS})
async def create_response(
    body: ResponseRequest, request: Request, principal: Caller, service: Service, services: Services
) -> Response:
    """Return a response, or its events with ``stream``. With ``background``, it is returned at once and goes on.

    A disconnect cancels the response, unless it has ``background`` or the request has an ``Idempotency-Key``.
    ``Cache-Control`` as for ``POST /api/v1/chat``.
    """
    key = idempotency_key_of(request, principal.user_id, body)
    opened = await open_response(request, principal, services, body, key=key, cache_policy=cache_policy_of(request))
    turn, headers = opened.turn, opened_headers(opened)
    if body.stream:
        streamed = stream_of(
            service, turn, request, holds=not body.background, cancel=key is None and not body.background
        )
        streamed.headers.update(headers)
        return streamed
    if body.background:
        return _json(await _current(service, turn), headers)
    return StreamingTurnResponse(
        _whole(service, turn),
        media_type=JSON,
        headers=headers,
        on_disconnect=abandonment(service, turn, cancel=key is None, resumable=False),
    )


@router.get("/{response_id}", response_class=Response, responses={**STORED_RESPONSE, **NOT_READ})
async def get_response(
    response_id: str,
    request: Request,
    principal: Caller,
    service: Service,
    *,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0, le=MAX_SEQUENCE)] = None,
) -> Response:
    """Return a response, or with ``stream`` its events behind the number ``starting_after``."""
    turn = await find_response(service, principal, response_id)
    if stream:
        return stream_of(service, turn, request, first=0 if starting_after is None else starting_after + 1)
    return _json(await _current(service, turn), turn_headers(turn))


@router.post("/{response_id}/cancel", response_class=Response, responses={**STORED_RESPONSE, **TURN_NOT_FOUND})
async def cancel_response(response_id: str, principal: Caller, service: Service) -> Response:
    """Cancel a response and keep its output so far. A response that has ended stays as it is."""
    found = await find_response(service, principal, response_id)
    turn = await service.cancel(principal.user_id, found.id)
    return _json(await _current(service, turn), turn_headers(turn))


@router.delete(
    "/{response_id}", response_class=Response, responses={**DELETED, **TURN_NOT_FOUND, **problems(InvalidRequest)}
)
async def delete_response(response_id: str, principal: Caller, service: Service) -> Response:
    """Delete a response. Its messages stay in the conversation: delete that as well to delete them."""
    turn = await find_response(service, principal, response_id)
    if turn.running:
        turn = await service.cancel(principal.user_id, turn.id)
    await service.hide_response(turn)
    return _json({"id": ids.response_id(turn.id), "object": "response", "deleted": True})


@router.get("/{response_id}/input_items", response_class=Response, responses={**INPUT_ITEMS, **NOT_LISTED})
async def list_input_items(
    response_id: str,
    principal: Caller,
    service: Service,
    *,
    limit: Limit = DEFAULT_LIMIT,
    order: Order = "desc",
    after: str | None = None,
) -> Response:
    """List the input items of a response, newest first."""
    turn = await find_response(service, principal, response_id)
    items = input_items(turn)
    found = page(items if order == "asc" else items[::-1], limit, after)
    if found is None:
        raise InvalidCursor(errors=[FieldError("/after", "not_found", "No input item of this response has this ID.")])
    return _json(found)


async def _current(service: ChatService, turn: Turn) -> dict[str, Any]:
    view = await service.view(turn)
    return response(view.turn, view.entries)


async def _whole(service: ChatService, opened: Turn) -> AsyncGenerator[bytes, None]:
    turn = await service.ended(opened)
    if turn is None:
        raise errors.TurnPending(opened.id)
    if turn.status == "failed":
        raise failure_of(turn)
    yield orjson.dumps(response(turn, turn.entries))


def _json(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), media_type=JSON, headers=headers)
