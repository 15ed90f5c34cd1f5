"""Routes that start a turn: ``POST /chat`` and ``POST /chat/stream``."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat import errors
from chat.api.dependencies import Caller, Service
from chat.api.documentation import (
    ACCEPTED_HEADERS,
    ANSWER_ERRORS,
    ASYNC_PARAMETERS,
    NEW_TURN_HEADERS,
    START_ERRORS,
    TURN_PARAMETERS,
    stream,
)
from chat.api.request_parsing import (
    cache_policy_of,
    idempotency_key_of,
    opened_headers,
    prefers_async,
    to_turn_request,
)
from chat.api.resumption import resumes, resumption_headers
from chat.api.streaming import StreamingTurnResponse
from chat.model import Turn
from chat.protocols.parley import projection
from chat.protocols.parley.schemas import ChatAnswer, ChatRequest, TurnResource
from chat.protocols.sse import event_stream
from chat.running.turn_updates import DirectDeltas
from chat.service import ChatService, OpenedTurn
from parley.process.sockets import PEER_TIMEOUT
from parley.web.app import JsonRoute

router = APIRouter(prefix="/api/v1/chat", route_class=JsonRoute, tags=["chat"])

JSON = "application/json"


@router.post(
    "",
    response_model=ChatAnswer,
    openapi_extra=ASYNC_PARAMETERS,
    responses={
        200: {"headers": NEW_TURN_HEADERS},
        202: {"model": TurnResource, "description": "The running turn.", "headers": ACCEPTED_HEADERS},
        **ANSWER_ERRORS,
    },
)
async def create_turn(body: ChatRequest, request: Request, principal: Caller, service: Service) -> Response:
    """Run a turn and return the whole answer. ``Prefer: respond-async`` returns 202 immediately.

    With the response cache on (``ENABLE_CACHE``), ``Cache-Control: no-cache`` requests a new answer, and ``no-store``
    requests a new answer that is not cached either.
    """
    if body.stream:
        return await stream_turn(body, request, principal, service)
    key = idempotency_key_of(request, principal.user_id, body)
    opened = await service.open(to_turn_request(request, principal, body, key, cache_policy_of(request)))
    if prefers_async(request):
        return await _accepted(service, opened)
    turn = await service.ended(opened.turn)
    return Response(whole_answer(opened.turn, turn), media_type=JSON, headers=opened_headers(opened))


@router.post(
    "/stream",
    status_code=200,
    response_class=StreamingTurnResponse,
    openapi_extra=TURN_PARAMETERS,
    responses={**stream(NEW_TURN_HEADERS), **START_ERRORS},
)
async def stream_turn(body: ChatRequest, request: Request, principal: Caller, service: Service) -> Response:
    """Run a turn and stream it. A disconnect does not stop the turn. ``Cache-Control`` as for ``POST /chat``."""
    key = idempotency_key_of(request, principal.user_id, body)
    opened = await service.open(to_turn_request(request, principal, body, key, cache_policy_of(request)))
    direct = DirectDeltas()
    updates = service.follow(opened.turn, 0, idle_after=PEER_TIMEOUT.ping_interval, direct=direct)
    return StreamingTurnResponse(
        event_stream(opened.turn, updates, moves=resumes(request), direct=direct),
        headers=opened_headers(opened) | resumption_headers(request, opened.turn, 0),
        direct=direct,
    )


async def _accepted(service: ChatService, opened: OpenedTurn) -> Response:
    resource = projection.resource(await service.view(opened.turn))
    headers = {**opened_headers(opened), "Preference-Applied": "respond-async"}
    return Response(resource.model_dump_json(), status_code=202, media_type=JSON, headers=headers)


def whole_answer(opened: Turn, turn: Turn | None) -> str:
    """Return the body for a finished turn; raises ProviderFailure if it failed, TurnPending if it is not stored yet."""
    if turn is None or turn.running:
        raise errors.TurnPending(opened.id)
    if turn.status == "failed":
        raise failure_of(turn)
    return projection.answer(turn).model_dump_json()


def failure_of(turn: Turn) -> errors.ProviderFailure:
    """Return the error of a failed turn."""
    if turn.error is None:
        return errors.failure("provider_error", turn_id=turn.id)
    return errors.failure(turn.error.code, turn.error.message, retry_after=turn.error.retry_after, turn_id=turn.id)
