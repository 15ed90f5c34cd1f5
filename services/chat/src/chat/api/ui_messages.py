"""Routes of the AI SDK's ``useChat``: start an answer, resume its stream, stop it."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat.api.dependencies import Caller, Service, Services
from chat.api.documentation import NEW_TURN_HEADERS, TURN_HEADERS, TURN_PARAMETERS, UI_START_ERRORS, ui_stream
from chat.api.folded_stream import folded_events
from chat.api.request_parsing import cursor_of, idempotency_key_of, opened_headers, turn_headers
from chat.api.resumption import resumes, ui_resumption_headers
from chat.api.streaming import StreamingTurnResponse
from chat.api.ui_requests import to_turn_request
from chat.model import Turn
from chat.protocols.ui_messages.events import HEADERS, UiMessageEvents
from chat.protocols.ui_messages.schemas import UiChatRequest
from chat.running.turn_updates import FROM_START
from chat.service import ChatService
from parley.ids import parse_id
from parley.process.sockets import PEER_TIMEOUT
from parley.security.identity import Principal
from parley.web.app import JsonRoute

router = APIRouter(prefix="/api/v1/chat/ui", route_class=JsonRoute, tags=["chat"])
resumption_router = APIRouter(prefix="/internal/ui", route_class=JsonRoute, tags=["internal"], include_in_schema=False)


@router.post(
    "",
    status_code=200,
    response_class=StreamingTurnResponse,
    openapi_extra=TURN_PARAMETERS,
    responses={**ui_stream(NEW_TURN_HEADERS), **UI_START_ERRORS},
)
async def stream_ui_message(
    body: UiChatRequest, request: Request, principal: Caller, service: Service, services: Services
) -> Response:
    """Answer the last message of a chat of the AI SDK's ``useChat``, as its UI message stream.

    A disconnect does not stop the answer: resume its stream, or stop it by its own route.
    """
    key = idempotency_key_of(request, principal.user_id, body)
    opened = await service.open_once(key, lambda: to_turn_request(body, request, principal, key, services))
    streamed = _stream_of(service, opened.turn, request)
    streamed.headers.update(opened_headers(opened))
    return streamed


@router.get(
    "/{chat_id}/stream",
    status_code=200,
    response_class=StreamingTurnResponse,
    responses={**ui_stream(TURN_HEADERS), 204: {"description": "No answer is running."}},
)
async def resume_ui_message(chat_id: str, request: Request, principal: Caller, service: Service) -> Response:
    """Stream the running answer of a chat from its start."""
    turn = await _running(chat_id, principal, service)
    return Response(status_code=204) if turn is None else _stream_of(service, turn, request)


@router.post("/{chat_id}/stop", status_code=204)
async def stop_ui_message(chat_id: str, principal: Caller, service: Service) -> None:
    """Stop the running answer of a chat, if there is one, and keep its text. Every stream of it ends."""
    turn = await _running(chat_id, principal, service)
    if turn is not None:
        await service.cancel(principal.user_id, turn.id)


@resumption_router.get("/{turn_id}/stream", response_class=StreamingTurnResponse)
async def continue_ui_message(turn_id: str, request: Request, principal: Caller, service: Service) -> Response:
    """Stream an answer after ``Last-Event-ID`` events, for a gateway whose stream broke."""
    turn = await service.get(principal.user_id, parse_id(turn_id))
    return _stream_of(service, turn, request, received=cursor_of(request, None))


async def _running(chat_id: str, principal: Principal, service: ChatService) -> Turn | None:
    conversation_id = parse_id(chat_id)
    if conversation_id is None:
        return None
    found = await service.list_turns(
        principal.user_id, conversation_id=conversation_id, status="running", before=None, limit=1
    )
    return found.turns[0] if found.turns else None


def _stream_of(service: ChatService, turn: Turn, request: Request, *, received: int = 0) -> StreamingTurnResponse:
    updates = service.follow(turn, FROM_START, idle_after=PEER_TIMEOUT.ping_interval)
    events = UiMessageEvents(turn, received)
    return StreamingTurnResponse(
        folded_events(turn, updates, events, holds=False, moves=resumes(request)),
        headers=HEADERS | turn_headers(turn) | ui_resumption_headers(request, turn),
    )
