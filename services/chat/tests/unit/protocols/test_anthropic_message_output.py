"""``POST /v1/messages``: the message and its events, and how it is streamed and resumed."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.api.folded_stream import folded_events
from chat.errors import ProviderFailure
from chat.model import LogEntry, Turn
from chat.protocols.anthropic_messages.content import tool_input
from chat.protocols.anthropic_messages.events import MessageEvents
from chat.protocols.anthropic_messages.message import message
from chat.protocols.sse import MOVED
from chat.running.turn_updates import StreamInterrupted, StreamStarted, TurnDelta, TurnFinished, TurnUpdate
from chat_testing.turns import ended_turn, make_turn
from parley_events.parts import Usage


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a": 1, "b": [1, 2', {"a": 1, "b": [1, 2]}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890.0}),
        ('{"a": 123456789012345678901234567890, "b', {}),
        *((text, {}) for text in ("", "[1]", "{", "x", '"\\ud800')),
    ],
)
def test_arguments_of_a_call_are_an_object_as_far_as_they_are_complete(arguments: str, expected: Any) -> None:
    assert tool_input(arguments) == expected


def delta(index: int, arguments: str, **members: Any) -> LogEntry:
    return LogEntry("", ({"index": index, **members, "function": {"name": "f", "arguments": arguments}},))


ENTRIES = st.lists(
    st.one_of(
        st.text(max_size=4).map(LogEntry),
        st.text(min_size=1, max_size=4).map(lambda text: LogEntry(reasoning=text)),
        st.builds(delta, st.integers(0, 2), st.sampled_from(["", "{", '"a":', "1}", '{"b": [1, 2]}', "\u2028"])),
    ),
    max_size=12,
)
USED = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10, cached_tokens=2)


def ended(entries: list[LogEntry], **changed: Any) -> Turn:
    return replace(ended_turn(make_turn()), entries=tuple(entries), usage=USED, **changed)


def written(turn: Turn, first: int = 0) -> bytes:
    events = MessageEvents(turn, first)
    return events.started(turn) + events.delta(TurnDelta(2, turn.entries)) + events.finished(turn)


def parsed(data: bytes) -> list[dict[str, Any]]:
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        name, _, line = block.partition("\n")
        found.append(orjson.loads(line.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def gathered(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the message that a client builds from the events."""
    found: dict[str, Any] = {}
    texts: dict[int, str] = {}
    for event in events:
        if event["type"] == "message_start":
            found = event["message"]
        elif event["type"] == "content_block_start":
            assert event["index"] == len(found["content"])
            found["content"].append(event["content_block"])
        elif event["type"] == "content_block_delta":
            block, change = found["content"][event["index"]], event["delta"]
            if change["type"] == "input_json_delta":
                texts[event["index"]] = texts.get(event["index"], "") + change["partial_json"]
                block["input"] = tool_input(texts[event["index"]])
            else:
                block[block["type"]] += change[block["type"]]
        elif event["type"] == "message_delta":
            found |= {**event["delta"], "usage": found["usage"] | event["usage"]}
    return found


@given(ENTRIES)
def test_the_events_fold_to_the_message_that_is_not_streamed(entries: list[LogEntry]) -> None:
    turn = ended(entries)
    events = parsed(written(turn))
    assert gathered(events) == message(turn)
    assert [event["type"] for event in (*events[:2], *events[-2:])] == [
        *("message_start", "ping"),
        *("message_delta", "message_stop"),
    ]
    starts, stops = ([e["index"] for e in events if e["type"] == f"content_block_{name}"] for name in ("start", "stop"))
    assert starts == stops == list(range(len(message(turn)["content"])))


@given(ENTRIES, st.integers(0, 40))
def test_the_rest_behind_any_event_completes_the_stream(entries: list[LogEntry], received: int) -> None:
    turn = ended(entries)
    blocks = written(turn).split(b"\n\n")[:-1]
    rest = written(turn, received).split(b"\n\n")[:-1]
    assert blocks[:received] + rest == blocks


@pytest.mark.parametrize(
    ("reason", "calls", "expected"),
    [
        ("stop", None, "end_turn"),
        ("cancelled", None, "end_turn"),
        ("length", None, "max_tokens"),
        ("budget", None, "max_tokens"),
        ("deadline", [{}], "max_tokens"),
        ("content_filter", None, "refusal"),
        ("tool_calls", [{}], "tool_use"),
        ("stop", [{}], "tool_use"),
    ],
)
def test_a_message_says_why_it_ended_and_counts_cached_tokens_apart(reason: str, calls: Any, expected: str) -> None:
    found = message(ended([LogEntry("Hi")], finish_reason=reason, tool_calls=calls))
    assert (found["stop_reason"], found["stop_sequence"]) == (expected, None)
    assert found["usage"] == {
        "input_tokens": 5,
        "cache_creation": None,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 2,
        "output_tokens": 3,
        "output_tokens_details": {"thinking_tokens": 0},
        "server_tool_use": None,
        "inference_geo": None,
        "service_tier": "standard",
    }


async def streamed(turn: Turn, *updates: TurnUpdate, holds: bool = False, received: int = 0) -> list[bytes]:
    async def source() -> AsyncGenerator[TurnUpdate, None]:
        for update in updates:
            yield update

    chunks = folded_events(turn, source(), MessageEvents(turn, received), holds=holds, moves=True)
    return [chunk async for chunk in chunks]


async def test_a_failure_is_raised_before_any_content_and_an_error_event_after_it() -> None:
    running = make_turn()
    turn = replace(ended_turn(running, "Hel"), finish_reason="error", status="failed", request_id="r")
    with pytest.raises(ProviderFailure):
        await streamed(running, StreamStarted(running), TurnFinished(2, turn), holds=True)
    begun = (StreamStarted(running), TurnDelta(2, turn.entries), TurnFinished(3, turn))
    last = parsed(b"".join(await streamed(running, *begun, holds=True)))[-1]
    assert (last["type"], last["error"]["type"], last["request_id"]) == ("error", "api_error", "r")


async def test_the_gateway_continues_a_stream_that_moved() -> None:
    turn = make_turn()
    assert (await streamed(turn, StreamStarted(turn), StreamInterrupted("draining")))[-1] == MOVED
    (late,) = await streamed(turn, StreamInterrupted("interrupted", "finish_pending"), received=3)
    assert parsed(late)[0]["error"]["code"] == "finish_pending"
