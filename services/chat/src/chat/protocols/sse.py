"""A turn as a Parley event stream: ``id:`` and ``data:`` lines, pings, and the named events of the connection."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import orjson

from chat.model import FIRST_SEQ, Turn
from chat.protocols.parley.projection import ParleyProjection
from chat.running.turn_updates import Begun, Broken, Ended, Grown, Step

PING = b": ping\n\n"
DRAINING_RETRY_MS = 500


async def event_stream(turn: Turn, steps: AsyncGenerator[Step, None]) -> AsyncGenerator[bytes, None]:
    """Yield the stream of a turn, several events at once when several are there."""
    projection = ParleyProjection(turn)
    async with contextlib.aclosing(steps):
        async for step in steps:
            yield frame(projection, step)


def frame(projection: ParleyProjection, step: Step) -> bytes:
    """Return what a step looks like on the wire."""
    if isinstance(step, Grown):
        return b"".join(_event(step.seq + i, projection.grown(entry)) for i, entry in enumerate(step.entries))
    if isinstance(step, Begun):
        return _event(FIRST_SEQ, projection.begun(step.turn))
    if isinstance(step, Ended):
        return _event(step.seq, projection.ended(step.turn))
    if isinstance(step, Broken):
        return _broken(projection, step)
    return PING


def _event(seq: int, data: bytes) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (seq, data)


def _broken(projection: ParleyProjection, step: Broken) -> bytes:
    body: dict[str, Any] = {"code": step.code}
    if step.reason == "draining":
        body = {"retry_after_ms": DRAINING_RETRY_MS}
    elif step.code == "finish_pending":
        body["turn_id"] = projection.turn_id
    return b"event: %b\ndata: %b\n\n" % (step.reason.encode(), orjson.dumps(body))
