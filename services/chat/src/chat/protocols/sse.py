"""Server-sent events of a turn: ``id`` and ``data`` lines, pings, and named events about the connection."""

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
    """Yield the event stream of a turn, with available events batched."""
    projection = TurnProjection(turn)
    async with contextlib.aclosing(steps):
        async for step in steps:
            yield frame(projection, step)


def frame(projection: TurnProjection, step: TurnUpdate) -> bytes:
    """Return the server-sent events of one update."""
    if isinstance(step, TurnDelta):
        return b"".join(_event(step.seq + i, projection.delta(entry)) for i, entry in enumerate(step.entries))
    if isinstance(step, StreamStarted):
        return _event(FIRST_SEQ, projection.started(step.turn))
    if isinstance(step, TurnFinished):
        return _event(step.seq, projection.finished(step.turn))
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
