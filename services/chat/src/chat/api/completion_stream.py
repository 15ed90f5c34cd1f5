"""Streams in OpenAI's format: their events, and the route on which the gateway continues a broken one."""

import contextlib
import functools
from collections.abc import AsyncGenerator

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat import errors
from chat.api.chat import failure_of
from chat.api.dependencies import Caller, Service
from chat.api.request_parsing import cursor_of
from chat.api.resumption import completion_resumption_headers, resumes
from chat.api.streaming import StreamingTurnResponse, abandonment
from chat.model import FIRST_SEQ, Turn
from chat.protocols.openai_chat import projection
from chat.protocols.openai_chat.projection import CompletionChunks
from chat.protocols.sse import MOVED, is_movable
from chat.running.turn_updates import DirectDeltas, StreamIdle, StreamInterrupted, TurnDelta, TurnFinished, TurnUpdate
from parley.ids import parse_id
from parley.process.sockets import PEER_TIMEOUT
from parley.web.app import JsonRoute
from parley.web.event_stream import one_line

router = APIRouter(prefix="/internal/completions", route_class=JsonRoute, tags=["internal"], include_in_schema=False)

PING = b": ping\n"
"""No blank line follows: OpenAI's Python client parses a separate comment block as an event."""


@router.get("/{turn_id}/stream", response_class=StreamingTurnResponse)
async def resume_completion(
    turn_id: str, request: Request, principal: Caller, service: Service, *, include_usage: bool, cancel: bool
) -> Response:
    """Stream a completion after the first ``Last-Event-ID`` events. ``cancel``: a disconnect cancels the turn."""
    turn = await service.get(principal.user_id, parse_id(turn_id))
    received = cursor_of(request, None)
    direct = DirectDeltas()
    updates = service.follow(turn, _cursor(turn, received), idle_after=PEER_TIMEOUT.ping_interval, direct=direct)
    moves = resumes(request)
    return StreamingTurnResponse(
        completion_events(turn, updates, include_usage=include_usage, received=received, moves=moves, direct=direct),
        direct=direct,
        headers=completion_resumption_headers(request, turn, include_usage=include_usage, cancel=cancel),
        on_disconnect=abandonment(service, turn, cancel=cancel, resumable=resumes(request)),
    )


def _cursor(turn: Turn, received: int) -> int:
    """Return the cursor of a reader who received so many events: one for each sequence number up to the end."""
    cursor = max(FIRST_SEQ, received)
    return cursor if turn.running else min(cursor, turn.last_seq)


async def completion_events(
    turn: Turn,
    updates: AsyncGenerator[TurnUpdate, None],
    *,
    include_usage: bool,
    received: int | None = None,
    moves: bool = False,
    direct: DirectDeltas | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the events of a completion, after the number of events that the reader has ``received``.

    An error before the first event is raised, except for a reader to whom the status has been sent. ``moves``: the
    gateway continues an interrupted stream on another replica. ``direct`` gets its ``render`` with the first event.
    """
    chunks = CompletionChunks(turn, include_usage=include_usage)
    prefix = b"" if received else _data(chunks.started())
    started = received is not None
    async with contextlib.aclosing(updates):
        async for update in updates:
            if isinstance(update, StreamIdle):
                if started:
                    yield PING
                continue
            if not started:
                _raise_error(turn, update)
            elif moves and is_movable(update):
                yield MOVED
                return
            started = True
            yield prefix + _frames(chunks, turn, update, received or 0)
            prefix = b""
            if direct is not None:
                direct.render = functools.partial(_deltas, chunks)


def _raise_error(turn: Turn, update: TurnUpdate) -> None:
    if isinstance(update, TurnFinished) and projection.failed(update.turn):
        raise failure_of(update.turn)
    if isinstance(update, StreamInterrupted):
        raise errors.TurnPending(turn.id)


def _frames(chunks: CompletionChunks, turn: Turn, update: TurnUpdate, received: int) -> bytes:
    if isinstance(update, TurnDelta):
        return _deltas(chunks, update)
    if isinstance(update, TurnFinished):
        return b"".join(_data(data) for data in chunks.finished(update.turn)[_finals_received(update, received) :])
    pending = isinstance(update, StreamInterrupted) and update.code == "finish_pending"
    return _data(orjson.dumps(projection.pending(turn) if pending else projection.error(turn)))


def _deltas(chunks: CompletionChunks, update: TurnDelta) -> bytes:
    return b"".join([_data(chunks.delta(entry)) for entry in update.entries])


def _finals_received(update: TurnFinished, received: int) -> int:
    """Return how many of the final events a reader has.

    All are sent after a lost log, because a reader may have more entries than were stored.
    """
    return 0 if update.turn.log_lost else max(0, received - (update.seq - 1))


def _data(data: bytes) -> bytes:
    return b"data: %b\n\n" % one_line(data)
