"""Server-sent events of a turn: ``id`` and ``data`` lines, pings, and named events about the connection."""

import contextlib
import functools
from collections.abc import AsyncGenerator
from typing import Any

import orjson

from chat.model import FIRST_SEQ, Turn
from chat.protocols.parley.projection import TurnProjection
from chat.running.turn_updates import (
    DirectDeltas,
    StreamInterrupted,
    StreamStarted,
    TurnDelta,
    TurnFinished,
    TurnUpdate,
)
from parley.web.event_stream import one_line

PING = b": ping\n\n"
MOVED = b": moved\n\n"
"""Comment that ends a stream which the gateway continues on another replica. Clients never receive it."""
DRAINING_RETRY_MS = 500


async def event_stream(
    turn: Turn,
    updates: AsyncGenerator[TurnUpdate, None],
    *,
    moves: bool = False,
    direct: DirectDeltas | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the event stream of a turn, with available events batched.

    ``moves``: the gateway continues an interrupted stream on another replica. ``direct`` gets its ``render``.
    """
    projection = TurnProjection(turn)
    if direct is not None:
        direct.render = functools.partial(frame, projection)
    async with contextlib.aclosing(updates):
        async for update in updates:
            yield MOVED if moves and is_movable(update) else frame(projection, update)


def is_movable(update: TurnUpdate) -> bool:
    """Return whether another replica can continue the stream after this update."""
    return isinstance(update, StreamInterrupted) and update.code != "finish_pending"


def frame(projection: TurnProjection, update: TurnUpdate) -> bytes:
    """Return the server-sent events of one update."""
    if isinstance(update, TurnDelta):
        if len(update.entries) == 1:
            return _event(update.seq, projection.delta(update.entries[0]))
        return b"".join([_event(update.seq + i, projection.delta(entry)) for i, entry in enumerate(update.entries)])
    if isinstance(update, StreamStarted):
        return _event(FIRST_SEQ, projection.started(update.turn))
    if isinstance(update, TurnFinished):
        return _event(update.seq, projection.finished(update.turn))
    if isinstance(update, StreamInterrupted):
        return _interrupted(projection, update)
    return PING


def _event(seq: int, data: bytes) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (seq, one_line(data))


def _interrupted(projection: TurnProjection, update: StreamInterrupted) -> bytes:
    body: dict[str, Any] = {"code": update.code}
    if update.reason == "draining":
        body = {"retry_after_ms": DRAINING_RETRY_MS}
    elif update.code == "finish_pending":
        body["turn_id"] = projection.turn_id
    return b"event: %b\ndata: %b\n\n" % (update.reason.encode(), orjson.dumps(body))
