"""The UI message stream of the AI SDK: its events, and any rest of them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.model import LogEntry, Turn, TurnError
from chat.protocols.ui_messages.events import UiMessageEvents
from chat.running.turn_updates import TurnDelta
from chat_testing.turns import ended_turn, make_turn
from chat_testing.ui_messages import call_delta, parsed_ui_events

ENTRIES = st.lists(
    st.one_of(
        st.text(max_size=4).map(LogEntry),
        st.text(min_size=1, max_size=4).map(lambda text: LogEntry(reasoning=text)),
        st.builds(call_delta, st.integers(0, 2), st.sampled_from(["", "{", '"a":', "1}", "\u2028"])).map(
            lambda delta: LogEntry("", (delta,))
        ),
    ),
    max_size=12,
)


def written(turn: Turn, first: int = 0) -> bytes:
    events = UiMessageEvents(turn, first)
    return events.started(turn) + events.delta(TurnDelta(2, turn.entries)) + events.finished(turn)


@given(ENTRIES, st.sampled_from(["completed", "cancelled"]), st.data())
def test_every_event_belongs_to_an_open_part_and_any_rest_is_the_end_of_the_whole(
    entries: list[LogEntry], status: Any, data: st.DataObject
) -> None:
    turn = replace(ended_turn(make_turn()), entries=tuple(entries), status=status)
    whole = written(turn)
    events, texts, opened = parsed_ui_events(whole), {"text": "", "reasoning": ""}, set[str]()
    for event in events:
        kind, _, step = event["type"].rpartition("-")
        if kind in texts:
            texts[kind] += event.get("delta", "")
            assert (event["id"] in opened) == (step != "start")
            opened = opened - {event["id"]} if step == "end" else opened | {event["id"]}
        elif event["type"] == "tool-input-delta":
            assert event["toolCallId"] in opened
        elif event["type"] == "tool-input-start":
            opened.add(event["toolCallId"])
    assert texts["text"] == "".join(entry.text for entry in entries)
    assert texts["reasoning"] == "".join(entry.reasoning for entry in entries)
    first = data.draw(st.integers(0, len(events) + 1))
    assert written(turn, first) == b"".join(part + b"\n\n" for part in whole.split(b"\n\n")[first:-1])


@pytest.mark.parametrize(
    ("status", "reason", "run"),
    [
        ("completed", "tool_calls", ["a", "b"]),
        ("completed", "length", ["a"]),
        ("failed", "error", []),
        ("cancelled", "cancelled", []),
    ],
)
def test_a_call_whose_arguments_are_cut_is_not_run(status: Any, reason: Any, run: list[str]) -> None:
    deltas = (call_delta(0, '{"n":1}', id="a"), call_delta(1, '{"n":', id="b"))
    turn = replace(ended_turn(make_turn()), entries=(LogEntry("", deltas),), status=status, finish_reason=reason)
    available = [
        event["toolCallId"] for event in parsed_ui_events(written(turn)) if event["type"] == "tool-input-available"
    ]
    assert available == run


def test_a_failure_and_an_interruption_are_errors() -> None:
    turn = make_turn()
    failed = replace(
        turn, status="failed", finish_reason="error", error=TurnError("provider_error", "The provider failed.")
    )
    assert parsed_ui_events(written(failed))[-1] == {"type": "error", "errorText": "The provider failed."}
    assert parsed_ui_events(UiMessageEvents(turn, 7).interrupted("store_down"))[0]["type"] == "error"
