"""Projections of turns onto Parley's, OpenAI's and the WebSocket's format."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

import orjson
import pytest

from chat.model import LogEntry, Turn, TurnError
from chat.protocols.openai_chat import projection as openai_projection
from chat.protocols.openai_chat.projection import CompletionChunks
from chat.protocols.parley import projection as parley_projection
from chat.protocols.parley.projection import TurnProjection
from chat.protocols.sse import MOVED, PING, event_stream
from chat.protocols.websocket.projection import turn_frames
from chat.running.turn_updates import (
    StreamIdle,
    StreamInterrupted,
    StreamStarted,
    TurnDelta,
    TurnFinished,
    TurnUpdate,
)
from chat.running.turn_view import TurnView
from chat_testing.turns import ended_turn, make_turn
from parley_events.parts import Usage

USAGE = Usage(prompt_tokens=41, completion_tokens=16, total_tokens=57)
CALL: dict[str, Any] = {"index": 0, "id": "c", "type": "function", "function": {"name": "f"}}


def completed() -> Turn:
    return replace(ended_turn(make_turn(), "Hel", "lo"), usage=USAGE, cost=Decimal("0.00001234"))


async def streamed(turn: Turn, *updates: TurnUpdate, moves: bool = False) -> list[bytes]:
    async def source() -> AsyncGenerator[TurnUpdate, None]:
        for update in updates:
            yield update

    return [part async for part in event_stream(turn, source(), moves=moves)]


def data_of(event: bytes) -> Any:
    return orjson.loads(event.split(b"data: ", 1)[1])


async def test_an_event_stream_numbers_its_events_and_finishes_once() -> None:
    turn = completed()
    first, delta, last = await streamed(turn, StreamStarted(turn), TurnDelta(2, turn.entries), TurnFinished(4, turn))
    assert first.startswith(b"id: 1\ndata: ")
    assert (data_of(first)["status"], data_of(first)["finished"]) == ("running", False)
    events = delta.split(b"\n\n")[:-1]
    assert [event.split(b"\n")[0] for event in events] == [b"id: 2", b"id: 3"]
    assert [data_of(event)["delta"] for event in events] == ["Hel", "lo"]
    assert last.startswith(b"id: 4\n")
    assert data_of(last)["finished"] is True
    assert (data_of(last)["tokens_used"], data_of(last)["cost"]) == (57, "0.000012340")


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
async def test_readers_that_split_at_any_line_end_read_the_stream(separator: str) -> None:
    turn = make_turn()
    text = f"a{separator}b\u00c2\u20ac"
    (event,) = await streamed(turn, TurnDelta(2, [LogEntry(text)]))
    identifier, data = event.decode().splitlines()[:2]
    assert (identifier, orjson.loads(data.removeprefix("data: "))["delta"]) == ("id: 2", text)


async def test_a_tool_call_is_an_event_without_text() -> None:
    turn = make_turn()
    (event,) = await streamed(turn, TurnDelta(2, [LogEntry("", (CALL,))]))
    assert (data_of(event)["delta"], data_of(event)["tool_calls"]) == ("", [CALL])


async def test_reasoning_is_an_event_without_text_and_a_member_of_openais_format() -> None:
    entries = (LogEntry(reasoning="why"), LogEntry("yes"))
    turn = replace(completed(), entries=entries, content="yes")
    (events,) = await streamed(turn, TurnDelta(2, entries))
    first = data_of(events.split(b"\n\n")[0])
    assert (first["delta"], first["reasoning"]) == ("", "why")
    chunk = orjson.loads(CompletionChunks(turn, include_usage=False).delta(entries[0]))
    assert chunk["choices"][0]["delta"] == {"reasoning_content": "why"}
    message = openai_projection.completion(turn)["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("why", "yes")


def test_reasoning_is_stored_so_that_an_older_replica_reads_an_empty_delta() -> None:
    stored = LogEntry(reasoning="why").to_json()
    assert isinstance(stored, dict)
    assert (LogEntry.from_json(stored), stored["tool_calls"]) == (LogEntry(reasoning="why"), [])


async def test_an_idle_stream_sends_a_ping() -> None:
    assert await streamed(make_turn(), StreamIdle()) == [PING]


@pytest.mark.parametrize(
    ("update", "name", "data"),
    [
        (StreamInterrupted("draining"), b"draining", {"retry_after_ms": 500}),
        (StreamInterrupted("interrupted"), b"interrupted", {"code": "upstream_error"}),
    ],
)
async def test_an_interrupted_stream_ends_with_a_named_event(
    update: StreamInterrupted, name: bytes, data: dict[str, Any]
) -> None:
    (event,) = await streamed(make_turn(), update)
    assert event.startswith(b"event: " + name + b"\n")
    assert data_of(event) == data


@pytest.mark.parametrize("reason", ["draining", "interrupted"])
async def test_the_gateway_is_asked_to_continue_an_interrupted_stream_elsewhere(
    reason: Literal["draining", "interrupted"],
) -> None:
    assert await streamed(make_turn(), StreamInterrupted(reason), moves=True) == [MOVED]


async def test_the_gateway_is_told_of_a_pending_answer() -> None:
    (event,) = await streamed(make_turn(), StreamInterrupted("interrupted", "finish_pending"), moves=True)
    assert data_of(event)["code"] == "finish_pending"


async def test_a_pending_answer_is_named_in_the_interruption() -> None:
    turn = make_turn()
    (event,) = await streamed(turn, StreamInterrupted("interrupted", "finish_pending"))
    assert data_of(event) == {"code": "finish_pending", "turn_id": str(turn.id)}


def test_websocket_frames_have_the_events_of_the_stream() -> None:
    turn = completed()
    projection = TurnProjection(turn)
    updates: list[TurnUpdate] = [StreamStarted(turn), TurnDelta(2, turn.entries), TurnFinished(4, turn), StreamIdle()]
    frames = [orjson.loads(frame) for update in updates for frame in turn_frames("c1", projection, update)]
    assert [(frame["type"], frame["ref"], frame["id"]) for frame in frames] == [
        ("turn.event", "c1", str(seq)) for seq in (1, 2, 3, 4)
    ]
    assert frames[1]["data"]["delta"] == "Hel"


def test_the_answer_and_the_resource_have_the_cost_as_a_string() -> None:
    turn = completed()
    assert parley_projection.answer(turn).cost == "0.000012340"
    resource = parley_projection.resource(TurnView.of_row(turn))
    assert (resource.cost, resource.last_event_id, resource.status) == ("0.000012340", "4", "completed")
    assert parley_projection.resource(TurnView.of_row(replace(turn, cost=None))).cost is None


def test_the_message_of_the_resource_is_the_answer_and_the_user_message_the_question() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    turn = replace(completed(), tool_calls=calls)
    resource = parley_projection.resource(TurnView.of_row(turn))
    assert (resource.message, resource.tool_calls) == ("Hello", calls)
    assert (resource.user_message.id, resource.user_message.content) == (turn.user_message_id, turn.user_message)


def test_a_completion_has_the_answer_usage_and_finish_reason() -> None:
    body = openai_projection.completion(completed())
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Hello",
        "refusal": None,
        "annotations": [],
    }
    assert (body["choices"][0]["finish_reason"], body["usage"]["total_tokens"]) == ("stop", 57)


def test_a_completion_with_tool_calls_has_no_content() -> None:
    turn = replace(ended_turn(make_turn()), tool_calls=[CALL])
    assert openai_projection.completion(turn)["choices"][0]["message"]["content"] is None


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "stop"),
        ("budget", "length"),
        ("deadline", "length"),
        ("cancelled", "stop"),
        ("tool_calls", "tool_calls"),
    ],
)
def test_finish_reasons_are_openais(reason: str, expected: str) -> None:
    assert openai_projection.reason(replace(completed(), finish_reason=reason)) == expected


@pytest.mark.parametrize("include_usage", [True, False])
def test_completion_chunks_start_with_the_role_and_end_with_done(include_usage: bool) -> None:
    turn = completed()
    chunks = CompletionChunks(turn, include_usage=include_usage)
    assert orjson.loads(chunks.started())["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert orjson.loads(chunks.delta(turn.entries[0]))["choices"][0]["delta"] == {"content": "Hel"}
    assert orjson.loads(chunks.delta(LogEntry("", (CALL,))))["choices"][0]["delta"] == {"tool_calls": [CALL]}
    *rest, done = chunks.finished(turn)
    assert done == b"[DONE]"
    usages = [orjson.loads(chunk)["usage"] for chunk in rest if orjson.loads(chunk).get("usage")]
    assert [usage["total_tokens"] for usage in usages] == ([57] if include_usage else [])


def test_a_failed_turn_ends_a_completion_with_an_error_and_without_done() -> None:
    error = TurnError("provider_timeout", "The model did not answer in time.")
    turn = replace(ended_turn(make_turn()), status="failed", finish_reason="error", error=error)
    (last,) = CompletionChunks(turn, include_usage=True).finished(turn)
    assert orjson.loads(last)["error"] == {
        "message": "The model did not answer in time.",
        "type": "api_error",
        "param": None,
        "code": "provider_timeout",
    }
