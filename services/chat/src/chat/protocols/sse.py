"""A turn as a Parley event stream: ``id:`` and ``data:`` lines, pings, and the named events of the connection."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import orjson

from chat.model import FIRST_SEQ, Turn
from chat.protocols.parley.projection import TurnProjection
from chat.running.turn_updates import StreamInterrupted, StreamStarted, TurnDelta, TurnFinished, TurnUpdate

PING = b": ping\n\n"
DRAINING_RETRY_MS = 500


async def event_stream(turn: Turn, steps: AsyncGenerator[TurnUpdate, None]) -> AsyncGenerator[bytes, None]:
    """Yield the stream of a turn, several events at once when several are there."""
    projection = TurnProjection(turn)
    async with contextlib.aclosing(steps):
        async for step in steps:
            yield frame(projection, step)


def frame(projection: TurnProjection, step: TurnUpdate) -> bytes:
    """Return what a step looks like on the wire."""
    if isinstance(step, TurnDelta):
        return b"".join(_event(step.seq + i, projection.grown(entry)) for i, entry in enumerate(step.entries))
    if isinstance(step, StreamStarted):
        return _event(FIRST_SEQ, projection.begun(step.turn))
    if isinstance(step, TurnFinished):
        return _event(step.seq, projection.ended(step.turn))
    if isinstance(step, StreamInterrupted):
        return _broken(projection, step)
    return PING


def _event(seq: int, data: bytes) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (seq, data)


def _broken(projection: TurnProjection, step: StreamInterrupted) -> bytes:
    body: dict[str, Any] = {"code": step.code}
    if step.reason == "draining":
        body = {"retry_after_ms": DRAINING_RETRY_MS}
    elif step.code == "finish_pending":
        body["turn_id"] = projection.turn_id
    return b"event: %b\ndata: %b\n\n" % (step.reason.encode(), orjson.dumps(body))
