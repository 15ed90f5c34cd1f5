"""Turns as WebSocket frames."""

from collections.abc import Iterator
from typing import Any

import orjson

from chat.model import FIRST_SEQ
from chat.protocols.parley.projection import TurnProjection
from chat.running.turn_updates import StreamStarted, TurnDelta, TurnFinished, TurnUpdate


def turn_frames(ref: str, projection: TurnProjection, update: TurnUpdate) -> Iterator[str]:
    """Yield the frames of one update; pings and interruptions have none."""
    if isinstance(update, StreamStarted):
        yield _event(ref, FIRST_SEQ, projection.started(update.turn))
    elif isinstance(update, TurnDelta):
        for offset, entry in enumerate(update.entries):
            yield _event(ref, update.seq + offset, projection.delta(entry))
    elif isinstance(update, TurnFinished):
        yield _event(ref, update.seq, projection.finished(update.turn))


def frame(kind: str, **members: Any) -> str:
    """Return one frame."""
    return orjson.dumps({"type": kind, **members}).decode()


def _event(ref: str, seq: int, data: bytes) -> str:
    return frame("turn.event", ref=ref, id=str(seq), data=orjson.Fragment(data))
