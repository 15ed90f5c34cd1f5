"""Streams of protocols whose events come from a fold of the whole log: responses, messages, and UI messages."""

import contextlib
from collections.abc import AsyncGenerator

from chat import errors
from chat.api.chat import failure_of
from chat.api.completion_stream import PING
from chat.model import Turn
from chat.protocols.anthropic_messages.events import MessageEvents
from chat.protocols.openai_responses.events import ResponseEvents
from chat.protocols.sse import MOVED, is_movable
from chat.protocols.ui_messages.events import UiMessageEvents
from chat.running.turn_updates import (
    StreamIdle,
    StreamInterrupted,
    StreamStarted,
    TurnDelta,
    TurnFinished,
    TurnUpdate,
)

FoldedEvents = ResponseEvents | MessageEvents | UiMessageEvents


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
