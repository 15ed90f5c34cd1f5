"""Every protocol folds the log of a turn to the same answer."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.model import LogEntry, Turn
from chat.protocols.anthropic_messages.events import MessageEvents
from chat.protocols.openai_chat.projection import CompletionChunks
from chat.protocols.openai_responses.events import ResponseEvents
from chat.protocols.parley.projection import TurnProjection
from chat.protocols.ui_messages.events import UiMessageEvents
from chat.running.tool_calls import join_calls
from chat.running.turn_updates import TurnDelta
from chat_testing.turns import ended_turn, make_turn
from parley_events.parts import Usage

Folded = tuple[str, str, list[tuple[str, str]]]
"""Text, reasoning, and the calls with their names and arguments."""


def call(index: int, arguments: str) -> LogEntry:
    function = {"name": f"f{index}", "arguments": arguments}
    return LogEntry("", ({"index": index, "id": f"call_{index}", "type": "function", "function": function},))


WHOLE_CALLS = st.integers(0, 2).map(lambda count: [call(index, f'{{"n":{index}}}') for index in range(count)])
TEXTS = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=4).map(LogEntry),
        st.text(min_size=1, max_size=4).map(lambda text: LogEntry(reasoning=text)),
    ),
    max_size=8,
)


def events_of(data: bytes) -> Iterator[Any]:
    for block in data.decode().split("\n\n")[:-1]:
        text = block[block.index("data: ") + 6 :]
        if text != "[DONE]":
            yield orjson.loads(text)


def written(events: Any, turn: Turn) -> Iterator[Any]:
    return events_of(events.started(turn) + events.delta(TurnDelta(2, turn.entries)) + events.finished(turn))


def parley(turn: Turn) -> Folded:
    events = [orjson.loads(TurnProjection(turn).delta(entry)) for entry in turn.entries]
    calls = [made for event in events for made in event.get("tool_calls", [])]
    return "".join(e["delta"] for e in events), "".join(e.get("reasoning", "") for e in events), functions(calls)


def openai_chat(turn: Turn) -> Folded:
    chunks = CompletionChunks(turn, include_usage=False)
    deltas = [orjson.loads(chunks.delta(entry))["choices"][0]["delta"] for entry in turn.entries]
    calls = [made for delta in deltas for made in delta.get("tool_calls", [])]
    text = "".join(delta.get("content") or "" for delta in deltas)
    return text, "".join(delta.get("reasoning_content", "") for delta in deltas), functions(calls)


def openai_responses(turn: Turn) -> Folded:
    events = list(written(ResponseEvents(turn), turn))
    calls = [e["item"] for e in events if e["type"] == "response.output_item.done" and "arguments" in e["item"]]
    reasoning = sum_of(events, "delta", "response.reasoning_text.delta", "response.reasoning_summary_text.delta")
    return (
        sum_of(events, "delta", "response.output_text.delta"),
        reasoning,
        [(c["name"], c["arguments"]) for c in calls],
    )


def anthropic(turn: Turn) -> Folded:
    events = list(written(MessageEvents(turn), turn))
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    names = [block["name"] for block in blocks if block["type"] == "tool_use"]
    arguments = [delta["partial_json"] for delta in deltas if "partial_json" in delta]
    text = "".join(delta.get("text", "") for delta in deltas)
    return text, "".join(delta.get("thinking", "") for delta in deltas), list(zip(names, arguments, strict=True))


def ui_messages(turn: Turn) -> Folded:
    events = list(written(UiMessageEvents(turn), turn))
    calls = [event for event in events if event["type"] == "tool-input-available"]
    found = [(each["toolName"], orjson.dumps(each["input"]).decode()) for each in calls]
    return sum_of(events, "delta", "text-delta"), sum_of(events, "delta", "reasoning-delta"), found


def functions(calls: list[Any]) -> list[tuple[str, str]]:
    return [(made["function"]["name"], made["function"]["arguments"]) for made in calls]


def sum_of(events: list[Any], member: str, *kinds: str) -> str:
    return "".join(event[member] for event in events if event["type"] in kinds)


@pytest.mark.parametrize("fold", [parley, openai_chat, openai_responses, anthropic, ui_messages])
@settings(max_examples=30)
@given(TEXTS, WHOLE_CALLS)
def test_a_log_gives_the_same_answer_in_every_protocol(
    fold: Callable[[Turn], Folded], texts: list[LogEntry], calls: list[LogEntry]
) -> None:
    entries = (*texts, *calls)
    stored = "".join(entry.text for entry in entries)
    made = join_calls(entries)
    turn = replace(
        ended_turn(make_turn()),
        entries=entries,
        content=stored,
        tool_calls=made,
        usage=Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2),
    )
    assert fold(turn) == (stored, "".join(entry.reasoning for entry in entries), functions(made or []))
