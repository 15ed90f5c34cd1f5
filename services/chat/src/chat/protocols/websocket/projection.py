"""Turns as WebSocket frames."""

from collections.abc import Iterator
from typing import Any

import orjson

from chat.model import FIRST_SEQ
from chat.protocols.parley.projection import TurnProjection
from chat.running.turn_updates import StreamStarted, TurnDelta, TurnFinished, TurnUpdate


def turn_frames(ref: str, projection: TurnProjection, step: TurnUpdate) -> Iterator[str]:
    """Yield the frames of one update; pings and interruptions have none."""
    if isinstance(step, StreamStarted):
        yield _event(ref, FIRST_SEQ, projection.started(step.turn))
    elif isinstance(step, TurnDelta):
        for offset, entry in enumerate(step.entries):
            yield _event(ref, step.seq + offset, projection.delta(entry))
    elif isinstance(step, TurnFinished):
        yield _event(ref, step.seq, projection.finished(step.turn))


def frame(kind: str, **members: Any) -> str:
    """Return one frame."""
    return orjson.dumps({"type": kind, **members}).decode()


def _event(ref: str, seq: int, data: bytes) -> str:
    return frame("turn.event", ref=ref, id=str(seq), data=orjson.Fragment(data))
