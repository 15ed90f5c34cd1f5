"""Output items and events of responses, folded from the log of a turn."""

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.api.openai_responses.stream import response_events
from chat.errors import ProviderFailure, TurnPending
from chat.model import LogEntry, Turn
from chat.past_exchanges import PastExchange
from chat.protocols.openai_responses.conversation_items import items_of
from chat.protocols.openai_responses.resource import response
from chat.protocols.sse import MOVED
from chat.running.tool_calls import join_calls
from chat.running.turn_updates import (
    StreamIdle,
    StreamInterrupted,
    StreamStarted,
    TurnDelta,
    TurnFinished,
    TurnUpdate,
)
from chat_testing.published_schemas import check_event
from chat_testing.turns import make_turn
from parley import times
from parley.ids import new_id
from parley_events.parts import Usage

USAGE = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10, cached_tokens=2, reasoning_tokens=1)


def call(index: int, arguments: str, *, first: bool = False) -> LogEntry:
    function = {"arguments": arguments, **({"name": f"f{index}"} if first else {})}
    head = {"id": f"call_{index}", "type": "function"} if first else {}
    return LogEntry("", ({"index": index, **head, "function": function},))


def ended(turn: Turn, entries: Sequence[LogEntry], **changed: Any) -> Turn:
    content = "".join(entry.text for entry in entries)
    members = {"status": "completed", "finish_reason": "stop", "usage": USAGE, "finished_at": times.now(), **changed}
    return replace(turn, entries=tuple(entries), content=content, tool_calls=join_calls(entries), **members)


async def source(updates: Sequence[TurnUpdate]) -> AsyncGenerator[TurnUpdate, None]:
    for update in updates:
        yield update


async def streamed(turn: Turn, updates: Sequence[TurnUpdate], **options: Any) -> list[bytes]:
    return [chunk async for chunk in response_events(turn, source(updates), **options)]


def events_of(chunks: Sequence[bytes]) -> list[dict[str, Any]]:
    found = parsed(chunks)
    for event in found:
        check_event(event)
    return found


def parsed(chunks: Sequence[bytes]) -> list[dict[str, Any]]:
    blocks = [block for block in b"".join(chunks).decode().split("\n\n") if block]
    found = [json.loads(block.partition("data: ")[2]) for block in blocks]
    assert all(block.startswith(f"event: {event['type']}\n") for block, event in zip(blocks, found, strict=True))
    return found


def folded(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fold events as a client does: by their deltas."""
    items: dict[int, dict[str, Any]] = {}
    for event in events:
        kind, index = event["type"], event.get("output_index", -1)
        if kind == "response.output_item.added":
            items[index] = json.loads(json.dumps(event["item"]))
        elif kind.endswith("_part.added"):
            items[index]["summary" if "summary" in kind else "content"].append(dict(event["part"]))
        elif kind == "response.function_call_arguments.delta":
            items[index]["arguments"] += event["delta"]
        elif kind.endswith(".delta"):
            parts, number = ("summary", "summary_index") if "summary" in kind else ("content", "content_index")
            items[index][parts][event[number]]["text"] += event["delta"]
        elif kind == "response.output_item.done":
            assert {**items[index], "status": None} == {**event["item"], "status": None} | (
                {} if "status" in event["item"] else {"status": None}
            )
            if "status" in event["item"]:
                items[index]["status"] = event["item"]["status"]
    return [items[index] for index in sorted(items)]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=4)


@st.composite
def logs(draw: st.DrawFn) -> list[LogEntry]:
    found: list[LogEntry] = []
    seen: set[int] = set()
    for kind in draw(st.lists(st.sampled_from(["text", "reasoning", "call"]), max_size=12)):
        if kind == "call":
            index = draw(st.integers(0, min(2, len(seen))))
            found.append(call(index, draw(TEXTS), first=index not in seen))
            seen.add(index)
        else:
            found.append(LogEntry(draw(TEXTS)) if kind == "text" else LogEntry(reasoning=draw(TEXTS)))
    return found


ENDS = [
    ("completed", "stop", "response.completed"),
    ("completed", "length", "response.incomplete"),
    ("completed", "content_filter", "response.incomplete"),
    ("incomplete", "budget", "response.incomplete"),
    ("incomplete", "interrupted", "response.failed"),
    ("cancelled", "cancelled", "response.incomplete"),
]


@settings(max_examples=40, deadline=None)
@given(logs(), st.sampled_from(ENDS), st.data())
async def test_events_folded_are_the_retrieved_response_from_every_number_on(
    entries: list[LogEntry], end: tuple[Any, str, str], data: st.DataObject
) -> None:
    running = make_turn()
    turn = ended(running, entries, status=end[0], finish_reason=end[1])
    cut = data.draw(st.integers(0, len(entries)))
    parts = [part for part in (TurnDelta(2, entries[:cut]), TurnDelta(2 + cut, entries[cut:])) if part.entries]
    updates: list[TurnUpdate] = [StreamStarted(running), *parts, TurnFinished(turn.last_seq, turn)]
    live = await streamed(running, updates)
    events = events_of(live)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1]["type"] == end[2]
    assert events[-1]["response"] == response(turn, turn.entries)
    assert folded(events) == events[-1]["response"]["output"]
    first = data.draw(st.integers(0, len(events)))
    stored: list[TurnUpdate] = [
        StreamStarted(turn),
        *([TurnDelta(2, turn.entries)] if entries else []),
        TurnFinished(turn.last_seq, turn),
    ]
    rest = await streamed(turn, stored, first=first)
    assert parsed([chunk for chunk in rest if chunk != b": ping\n"]) == events[first:]


async def test_the_events_of_a_text_have_the_order_of_the_specification() -> None:
    running = make_turn()
    turn = ended(running, [LogEntry(reasoning="Hm"), LogEntry("Hel"), LogEntry("lo")])
    events = events_of(
        await streamed(running, [StreamStarted(running), TurnDelta(2, turn.entries), TurnFinished(5, turn)])
    )
    assert [event["type"].removeprefix("response.") for event in events] == [
        *("created", "in_progress"),
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        "completed",
    ]
    assert events[-1]["response"]["usage"]["input_tokens_details"]["cached_tokens"] == 2
    assert events[-1]["response"]["usage"]["output_tokens_details"]["reasoning_tokens"] == 1


async def test_parallel_calls_are_items_that_end_one_after_the_other() -> None:
    running = make_turn()
    entries = [call(0, '{"a"', first=True), call(0, ":1}"), call(1, "{}", first=True)]
    turn = ended(running, entries, finish_reason="tool_calls")
    events = events_of(await streamed(running, [StreamStarted(running), TurnDelta(2, entries), TurnFinished(5, turn)]))
    kinds = [(event["type"].removeprefix("response."), event.get("output_index")) for event in events[2:-1]]
    assert kinds == [
        *(("output_item.added", 0), ("function_call_arguments.delta", 0), ("function_call_arguments.delta", 0)),
        *(("function_call_arguments.done", 0), ("output_item.done", 0)),
        *(("output_item.added", 1), ("function_call_arguments.delta", 1)),
        *(("function_call_arguments.done", 1), ("output_item.done", 1)),
    ]
    first, second = events[-1]["response"]["output"]
    assert (first["call_id"], first["name"], first["arguments"]) == ("call_0", "f0", '{"a":1}')
    assert first["id"] != second["id"]


async def test_a_held_stream_raises_what_fails_before_its_first_output() -> None:
    running = make_turn()
    failed = ended(running, [], status="failed", finish_reason="error")
    with pytest.raises(ProviderFailure):
        await streamed(running, [StreamStarted(running), StreamIdle(), TurnFinished(2, failed)], holds=True)
    with pytest.raises(TurnPending):
        await streamed(running, [StreamStarted(running), StreamInterrupted("draining")], holds=True, moves=True)
    events = events_of(await streamed(running, [StreamStarted(running), TurnFinished(2, failed)]))
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"]["code"] == "server_error"


async def test_an_interrupted_stream_moves_or_ends_with_an_error_event() -> None:
    turn = make_turn()
    updates: list[TurnUpdate] = [
        StreamStarted(turn),
        TurnDelta(2, [LogEntry("Hi")]),
        StreamInterrupted("draining"),
    ]
    assert (await streamed(turn, updates, moves=True))[-1] == MOVED
    *before, last = events_of(await streamed(turn, updates))
    assert (last["type"], last["error"]["code"]) == ("error", "upstream_error")
    assert last["sequence_number"] == before[-1]["sequence_number"], "a reader goes on behind it without a gap"
    (alone,) = events_of(await streamed(turn, updates, first=9))
    assert alone["sequence_number"] == 8


async def test_a_reader_who_has_more_than_was_stored_of_a_lost_log_receives_its_end() -> None:
    turn = ended(make_turn(), [LogEntry("Hi")], status="incomplete", finish_reason="interrupted", log_lost=True)
    updates: list[TurnUpdate] = [StreamStarted(turn), TurnDelta(2, turn.entries), TurnFinished(3, turn)]
    (last,) = events_of(await streamed(turn, updates, first=40))
    assert (last["type"], last["sequence_number"]) == ("response.failed", 40)


def test_calls_of_an_imported_answer_are_items_whatever_they_are() -> None:
    exchange = PastExchange(new_id(), None, "Hi", "", [{"id": 5, "function": "weather"}, {}])
    assert [item["type"] for item in items_of(exchange)] == ["message", "function_call", "function_call"]
