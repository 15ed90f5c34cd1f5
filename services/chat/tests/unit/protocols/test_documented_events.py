"""The documented schemas of events and frames are those that clients receive."""

from dataclasses import replace
from decimal import Decimal

import orjson
import pytest
from pydantic import BaseModel

from chat.model import LogEntry, Turn, TurnError
from chat.protocols.parley.projection import TurnProjection
from chat.protocols.parley.stream_events import TurnDeltaEvent, TurnFinishedEvent, TurnStartedEvent
from chat.protocols.websocket.projection import frame, turn_frames
from chat.protocols.websocket.server_frames import DrainingFrame, ErrorFrame, OkFrame, ReadyFrame, TurnEventFrame
from chat.running.turn_updates import StreamStarted, TurnDelta, TurnFinished, TurnUpdate
from chat_testing.turns import ended_turn, make_turn
from parley_events.parts import Usage

TURN = replace(
    ended_turn(make_turn(), "Hel", "lo"),
    usage=Usage(prompt_tokens=41, completion_tokens=16, total_tokens=57),
    cost=Decimal("0.00001234"),
)
FAILED = replace(make_turn(), status="failed", error=TurnError("provider_error", "The provider failed."))


def check(model: type[BaseModel], text: bytes | str) -> None:
    """Fail if the object lacks a documented member, or has another one."""
    found = model.model_validate_json(text, extra="forbid")
    assert {name for name, field in model.model_fields.items() if field.is_required()} <= orjson.loads(text).keys()
    assert found.model_fields_set <= model.model_fields.keys()


def test_the_first_event_is_as_documented() -> None:
    check(TurnStartedEvent, TurnProjection(TURN).started(TURN))


@pytest.mark.parametrize(
    "entry",
    [LogEntry("Hel"), LogEntry("", tool_calls=({"index": 0, "id": "c"},)), LogEntry("", reasoning="Hm.")],
    ids=["text", "tool calls", "reasoning"],
)
def test_a_delta_is_as_documented(entry: LogEntry) -> None:
    check(TurnDeltaEvent, TurnProjection(TURN).delta(entry))


@pytest.mark.parametrize("turn", [TURN, FAILED], ids=["completed", "failed"])
def test_the_last_event_is_as_documented(turn: Turn) -> None:
    check(TurnFinishedEvent, TurnProjection(turn).finished(turn))


def test_the_frames_of_a_turn_are_as_documented() -> None:
    updates: list[TurnUpdate] = [StreamStarted(TURN), TurnDelta(2, TURN.entries), TurnFinished(4, TURN)]
    frames = [text for update in updates for text in turn_frames("c1", TurnProjection(TURN), update)]
    assert len(frames) == 4
    for text in frames:
        check(TurnEventFrame, text)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (ReadyFrame, frame("ready", user_id=str(TURN.user_id), expires_at="2026-11-22T10:15:00.000Z")),
        (OkFrame, frame("ok", ref="c1")),
        (ErrorFrame, frame("error", ref="c1", problem={"status": 409})),
        (DrainingFrame, frame("draining", retry_after_ms=500)),
    ],
)
def test_the_other_frames_are_as_documented(model: type[BaseModel], text: str) -> None:
    check(model, text)
