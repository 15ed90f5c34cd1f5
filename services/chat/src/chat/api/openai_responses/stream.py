"""Streams of responses: their events, and the route on which the gateway continues a broken one."""

from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat.api.dependencies import Caller, Service
from chat.api.folded_stream import folded_events
from chat.api.request_parsing import cursor_of, turn_headers
from chat.api.resumption import response_resumption_headers, resumes
from chat.api.streaming import StreamingTurnResponse, abandonment
from chat.model import Turn
from chat.protocols.openai_responses.events import ResponseEvents
from chat.running.turn_updates import (
    FROM_START,
    TurnUpdate,
)
from chat.service import ChatService
from parley.ids import parse_id
from parley.process.sockets import PEER_TIMEOUT
from parley.web.app import JsonRoute

router = APIRouter(prefix="/internal/responses", route_class=JsonRoute, tags=["internal"], include_in_schema=False)


@router.get("/{turn_id}/stream", response_class=StreamingTurnResponse)
async def resume_response(
    turn_id: str, request: Request, principal: Caller, service: Service, *, first: int, cancel: bool
) -> Response:
    """Stream a response after ``Last-Event-ID`` events from number ``first`` on. ``cancel``: as for completions."""
    turn = await service.get(principal.user_id, parse_id(turn_id))
    return stream_of(service, turn, request, first=first, received=cursor_of(request, None), cancel=cancel)


def stream_of(
    service: ChatService,
    turn: Turn,
    request: Request,
    *,
    first: int = 0,
    received: int = 0,
    holds: bool = False,
    cancel: bool = False,
) -> StreamingTurnResponse:
    """Return the stream of a turn after the events that the reader has ``received`` from number ``first`` on.

    ``holds``: send the status with the first output, so that an earlier failure is an ordinary error response.
    ``cancel``: a disconnect cancels the turn.
    """
    updates = service.follow(turn, FROM_START, idle_after=PEER_TIMEOUT.ping_interval)
    headers = turn_headers(turn) | response_resumption_headers(request, turn, first=first, cancel=cancel)
    return StreamingTurnResponse(
        response_events(turn, updates, first=first + received, holds=holds, moves=resumes(request)),
        headers=headers,
        on_disconnect=abandonment(service, turn, cancel=cancel, resumable=resumes(request)),
    )


def response_events(
    turn: Turn,
    updates: AsyncGenerator[TurnUpdate, None],
    *,
    first: int = 0,
    holds: bool = False,
    moves: bool = False,
) -> AsyncGenerator[bytes, None]:
    """Return the events of a response from number ``first`` on. ``updates`` begin at the start of the turn.

    ``moves``: the gateway continues an interrupted stream on another replica.
    """
    return folded_events(turn, updates, ResponseEvents(turn, first), holds=holds, moves=moves)
