"""Streams of responses: their events, and the route on which the gateway continues a broken one."""

import contextlib
from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat import errors
from chat.api.chat import failure_of
from chat.api.completion_stream import PING
from chat.api.dependencies import Caller, Service
from chat.api.request_parsing import cursor_of, turn_headers
from chat.api.resumption import response_resumption_headers, resumes
from chat.api.streaming import StreamingTurnResponse, abandonment
from chat.model import Turn
from chat.protocols.anthropic_messages.events import MessageEvents
from chat.protocols.openai_responses.events import ResponseEvents
from chat.protocols.sse import MOVED, is_movable
from chat.protocols.ui_messages.events import UiMessageEvents
from chat.running.turn_updates import (
    FROM_START,
    StreamIdle,
    StreamInterrupted,
    StreamStarted,
    TurnDelta,
    TurnFinished,
    TurnUpdate,
)
from chat.service import ChatService
from parley.ids import parse_id
from parley.process.sockets import PEER_TIMEOUT
from parley.web.app import JsonRoute

router = APIRouter(prefix="/internal/responses", route_class=JsonRoute, tags=["internal"], include_in_schema=False)

FoldedEvents = ResponseEvents | MessageEvents | UiMessageEvents


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


async def folded_events(
    turn: Turn,
    updates: AsyncGenerator[TurnUpdate, None],
    events: FoldedEvents,
    *,
    holds: bool,
    moves: bool,
) -> AsyncGenerator[bytes, None]:
    """Yield the events that a fold of the whole log gives; the options are those of ``stream_of``."""
    held, sent = b"", False
    async with contextlib.aclosing(updates):
        async for update in updates:
            if isinstance(update, StreamIdle):
                if sent or not holds:
                    sent = True
                    yield PING
                continue
            if holds and not sent:
                _raise_error(turn, update)
            if moves and is_movable(update) and (sent or not holds):
                yield MOVED
                return
            data = held + written_events(events, update)
            held = data if holds and isinstance(update, StreamStarted) else b""
            if data and not held:
                sent = True
                yield data
    if not sent:  # the reader has everything; a response without a chunk would have no status
        yield PING


def _raise_error(turn: Turn, update: TurnUpdate) -> None:
    if isinstance(update, TurnFinished) and update.turn.status == "failed":
        raise failure_of(update.turn)
    if isinstance(update, StreamInterrupted):
        raise errors.TurnPending(turn.id)


def written_events(events: FoldedEvents, update: TurnUpdate) -> bytes:
    """Return the events of an update."""
    if isinstance(update, TurnDelta):
        return events.delta(update)
    if isinstance(update, StreamStarted):
        return events.started(update.turn)
    if isinstance(update, TurnFinished):
        return events.finished(update.turn)
    if isinstance(update, StreamInterrupted):
        return events.interrupted(update.code)
    return PING
