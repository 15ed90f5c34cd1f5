"""Streams of messages, and the route on which the gateway continues a broken one."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat.api.dependencies import Caller, Service
from chat.api.folded_stream import folded_events
from chat.api.request_parsing import cursor_of, turn_headers
from chat.api.resumption import message_resumption_headers, resumes
from chat.api.streaming import StreamingTurnResponse, abandonment
from chat.model import Turn
from chat.protocols.anthropic_messages.events import MessageEvents
from chat.running.turn_updates import FROM_START
from chat.service import ChatService
from parley.ids import parse_id
from parley.process.sockets import PEER_TIMEOUT
from parley.web.app import JsonRoute

router = APIRouter(prefix="/internal/messages", route_class=JsonRoute, tags=["internal"], include_in_schema=False)


@router.get("/{turn_id}/stream", response_class=StreamingTurnResponse)
async def resume_message(
    turn_id: str, request: Request, principal: Caller, service: Service, *, cancel: bool
) -> Response:
    """Stream a message after ``Last-Event-ID`` events. ``cancel``: a disconnect cancels the turn."""
    turn = await service.get(principal.user_id, parse_id(turn_id))
    return stream_of(service, turn, request, received=cursor_of(request, None), cancel=cancel)


def stream_of(
    service: ChatService, turn: Turn, request: Request, *, received: int = 0, holds: bool = False, cancel: bool
) -> StreamingTurnResponse:
    """Return the stream of a turn after the events that the reader has ``received``; the options as for responses."""
    updates = service.follow(turn, FROM_START, idle_after=PEER_TIMEOUT.ping_interval)
    events = MessageEvents(turn, received)
    return StreamingTurnResponse(
        folded_events(turn, updates, events, holds=holds, moves=resumes(request)),
        headers=turn_headers(turn) | message_resumption_headers(request, turn, cancel=cancel),
        on_disconnect=abandonment(service, turn, cancel=cancel, resumable=resumes(request)),
    )
