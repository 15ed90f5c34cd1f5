"""Routes of existing turns: list, status, resumed stream, cancel."""

import base64
import binascii
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from chat.api.dependencies import Caller, Service
from chat.api.documentation import INVALID_CURSOR, RESUME_PARAMETERS, TURN_HEADERS, TURN_NOT_FOUND, stream
from chat.api.request_parsing import cursor_of, turn_headers
from chat.api.resumption import resumes, resumption_headers
from chat.api.streaming import StreamingTurnResponse
from chat.protocols.parley import projection
from chat.protocols.parley.schemas import TurnResource
from chat.protocols.sse import event_stream
from chat.running.turn_updates import DirectDeltas, check_cursor
from parley.errors import InvalidCursor
from parley.ids import parse_id
from parley.process.sockets import PEER_TIMEOUT
from parley.web.app import JsonRoute
from parley.web.schemas import Page

router = APIRouter(prefix="/api/v1/chat/turns", route_class=JsonRoute, tags=["chat"])

JSON = "application/json"
Status = Literal["running", "completed", "incomplete", "failed", "cancelled"]


@router.get("", responses=INVALID_CURSOR)
async def list_turns(
    principal: Caller,
    service: Service,
    conversation_id: UUID | None = None,
    status: Status | None = None,
    files: Annotated[bool, Query(description="Only turns whose message has files.")] = False,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> Page[TurnResource]:
    """List the caller's turns, newest first. After a reload, ``status=running`` finds the turn to resume."""
    found = await service.list_turns(
        principal.user_id,
        conversation_id=conversation_id,
        status=status,
        before=_read_cursor(cursor),
        limit=limit,
        with_files=files,
    )
    data = [projection.resource(await service.view(turn)) for turn in found.turns]
    return Page(data=data, next_cursor=_write_cursor(data[-1].id) if found.more else None)


@router.get("/{turn_id}", response_model=TurnResource, responses={200: {"headers": TURN_HEADERS}, **TURN_NOT_FOUND})
async def get_turn(turn_id: str, principal: Caller, service: Service) -> Response:
    """Return one turn. While it runs, ``message`` is the answer so far, up to ``last_event_id``."""
    turn = await service.get(principal.user_id, parse_id(turn_id))
    resource = projection.resource(await service.view(turn))
    return Response(resource.model_dump_json(), media_type=JSON, headers=turn_headers(turn))


@router.get(
    "/{turn_id}/stream",
    status_code=200,
    response_class=StreamingTurnResponse,
    openapi_extra=RESUME_PARAMETERS,
    responses={**stream(TURN_HEADERS), **INVALID_CURSOR, **TURN_NOT_FOUND},
)
async def resume_turn(
    turn_id: str,
    request: Request,
    principal: Caller,
    service: Service,
    after: str | None = None,
) -> Response:
    """Stream a turn after a cursor (``Last-Event-ID`` or ``?after=``), or from its start."""
    turn = await service.get(principal.user_id, parse_id(turn_id))
    cursor = cursor_of(request, after)
    if not turn.running and not turn.log_lost:
        check_cursor(cursor, turn.last_seq)
    direct = DirectDeltas()
    updates = service.follow(turn, cursor, idle_after=PEER_TIMEOUT.ping_interval, direct=direct)
    return StreamingTurnResponse(
        event_stream(turn, updates, moves=resumes(request), direct=direct),
        headers=turn_headers(turn) | resumption_headers(request, turn, cursor),
        direct=direct,
    )


@router.post(
    "/{turn_id}/cancel",
    response_model=TurnResource,
    responses={
        200: {"headers": TURN_HEADERS},
        202: {"model": TurnResource, "description": "The running turn.", "headers": TURN_HEADERS},
        **TURN_NOT_FOUND,
    },
)
async def cancel_turn(turn_id: str, principal: Caller, service: Service) -> Response:
    """Cancel a turn and keep its partial answer. Returns 202 if the turn is still running after two seconds."""
    view = await service.view(await service.cancel(principal.user_id, parse_id(turn_id)))
    status = 202 if view.turn.running else 200
    body = projection.resource(view).model_dump_json()
    return Response(body, status_code=status, media_type=JSON, headers=turn_headers(view.turn))


def _write_cursor(turn_id: UUID) -> str:
    return base64.urlsafe_b64encode(turn_id.bytes).decode().rstrip("=")


def _read_cursor(cursor: str | None) -> UUID | None:
    if cursor is None:
        return None
    try:
        found = UUID(bytes=base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except (ValueError, UnicodeEncodeError, binascii.Error):
        raise InvalidCursor from None
    if _write_cursor(found) != cursor:
        raise InvalidCursor
    return found
