"""``POST /v1/messages``: what reaches the provider, the message and its events, and what is refused by name."""

import base64
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chat.api.anthropic_checks import check, needed_capabilities
from chat.api.openai_responses.stream import folded_events
from chat.catalogue import Model
from chat.errors import ModelNotFound, ProviderFailure
from chat.model import LogEntry, Turn
from chat.parameters import FORWARDED
from chat.protocols.anthropic_messages.content import tool_input
from chat.protocols.anthropic_messages.events import MessageEvents
from chat.protocols.anthropic_messages.message import message
from chat.protocols.anthropic_messages.prompt import messages_of, options_of, user_text
from chat.protocols.anthropic_messages.schemas import MessageRequest
from chat.protocols.sse import MOVED
from chat.running.turn_updates import StreamInterrupted, StreamStarted, TurnDelta, TurnFinished, TurnUpdate
from chat_testing.files import png
from chat_testing.turns import MODEL, ended_turn, make_catalogue, make_turn
from parley.errors import InvalidRequest
from parley.web.problems import error_body
from parley_events.models import Usage

USER = {"role": "user", "content": "Hi"}
TOOL = {"name": "weather", "description": "The weather.", "input_schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}}
RESULT = {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "Sun"}]}
DATA = base64.b64encode(png()).decode()
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
ABLE = replace(MODEL, capabilities=("stream", "tools", "vision"))
OPENAI = replace(ABLE, parameters=FORWARDED["openai"])


def request(**members: Any) -> MessageRequest:
    return MessageRequest.model_validate({"model": "default", "max_tokens": 10, "messages": [USER], **members})


def checked(model: Model = ABLE, /, **members: Any) -> MessageRequest:
    body = request(**members)
    check(body, make_catalogue(model), lambda _: True)
    return body


def asked(*content: Any) -> list[Any]:
    return [{"role": "user", "content": list(content)}]


def answered(*results: Any, call: Any = CALL) -> list[Any]:
    return [USER, {"role": "assistant", "content": [call]}, {"role": "user", "content": list(results)}]


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"best_of": 2}, "best_of"),
        ({"container": {"id": "c"}}, "container"),
        ({"mcp_servers": [{"url": "u"}]}, "mcp_servers"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"stop": ["x"]}, "stop"),
        ({"metadata": {"user_id": "u", "team": "t"}}, "metadata.team"),
        ({"thinking": "high"}, "thinking"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"top_k": 4}, "top_k"),
        ({"system": [{"type": "text", "text": "a", "weight": 2}]}, "system.0.weight"),
        ({"tools": [{**TOOL, "type": "web_search_20250305"}]}, "tools.0.type"),
        ({"tools": [{"name": "f"}]}, "tools.0.input_schema"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools.0.defer_loading"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "auto", "mode": "x"}}, "tool_choice.mode"),
        ({"messages": [{**USER, "name": "Ada"}]}, "messages.0.name"),
        ({"messages": [USER, {"role": "assistant", "content": "The"}]}, "messages.1.role"),
        ({"messages": asked()}, "messages.0.content"),
        ({"messages": asked({"type": "text"})}, "messages.0.content.0.text"),
        ({"messages": asked({"type": "text", "text": "a", "x": 1})}, "messages.0.content.0.x"),
        ({"messages": asked({"type": "document", "source": {}})}, "messages.0.content.0.source.type"),
        (
            {"messages": asked({"type": "document", "source": {"type": "url", "url": "https://a.example"}})},
            "messages.0.content.0.source.type",
        ),
        ({"messages": asked(CALL)}, "messages.0.content.0.type"),
        ({"messages": [{"role": "system", "content": [IMAGE]}, USER]}, "messages.0.content.0.type"),
        ({"messages": [USER, {"role": "system", "content": "x"}]}, "messages.1.role"),
        (
            {"messages": asked({**IMAGE, "source": {"type": "stream", "file_id": "f"}})},
            "messages.0.content.0.source.type",
        ),
        ({"messages": asked({**IMAGE, "source": {"type": "url"}})}, "messages.0.content.0.source.url"),
        (
            {"messages": asked({**IMAGE, "source": {"type": "base64", "media_type": "image/svg+xml", "data": "a"}})},
            "messages.0.content.0.source.media_type",
        ),
        ({"messages": asked(RESULT)}, "messages.0.content.0.tool_use_id"),
        ({"messages": answered({"type": "text", "text": "Sun"})}, "messages.2"),
        ({"messages": answered({"type": "text", "text": "Sun"}, RESULT)}, "messages.2.content"),
        ({"messages": answered(RESULT, RESULT)}, "messages.2.content.1.tool_use_id"),
        ({"messages": answered({**RESULT, "content": [IMAGE]})}, "messages.2.content.0.content.0.source"),
        ({"messages": answered(RESULT, call={**CALL, "input": "x"})}, "messages.1.content.0.input"),
    ],
)
def test_a_wrong_request_is_refused_with_the_name_of_the_member(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        checked(OPENAI, **members)
    assert raised.value.errors[0].name == param
    body, media_type = error_body(raised.value, instance="/v1/messages", request_id="r", base_url="")
    found = orjson.loads(body)
    assert (found["type"], found["error"]["type"], found["request_id"]) == ("error", "invalid_request_error", "r")
    assert (sorted(found), media_type) == (["error", "request_id", "type"], "application/json")
    assert param in found["error"]["message"] or param == "messages.2"


@pytest.mark.parametrize(
    "members",
    [
        {"max_tokens": None},
        {"max_tokens": 0},
        {"max_tokens": "10"},
        {"model": None},
        {"messages": []},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"temperature": 1.5},
        {"top_p": 2},
        {"top_k": -1},
        {"stop_sequences": ["x"] * 17},
        {"tools": [TOOL] * 129},
        {"tool_choice": {"type": "required"}},
    ],
)
def test_a_member_of_the_wrong_type_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        request(**members)
    assert {str(error["loc"][0]) for error in raised.value.errors()} == set(members)


def test_an_unknown_model_and_images_without_vision_are_refused() -> None:
    with pytest.raises(ModelNotFound):
        checked(model="gpt-x")
    with pytest.raises(InvalidRequest) as raised:
        checked(MODEL, messages=asked(IMAGE))
    assert raised.value.code == "unsupported_content"


def test_a_request_reaches_the_provider_in_its_format() -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    told = {"type": "text", "text": "Let me see."}
    failed = {**RESULT, "is_error": True, "content": "No data"}
    body = checked(
        system=[{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}],
        messages=[
            *asked({"type": "text", "text": "Look:"}, IMAGE),
            {"role": "assistant", "content": [thinking, told, CALL]},
            *asked(failed, {"type": "text", "text": "And now?"}),
        ],
        tools=[TOOL],
        tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
        top_p=0.5,
        top_k=4,
        service_tier="auto",
        thinking={"type": "disabled"},
        metadata={"user_id": "u-7"},
    )
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + DATA}}
    found = messages_of(body, reasoning=True)
    assert found == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Look:"}, image]},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call], "reasoning_content": "Hm."},
        {"role": "tool", "tool_call_id": "call_1", "content": "Error: No data"},
        {"role": "user", "content": "And now?"},
    ]
    assert "reasoning_content" not in messages_of(body, reasoning=False)[2]
    assert user_text(found) == "And now?"
    assert user_text(found[:4]) == "Look:"
    function = {"name": "weather", "description": "The weather.", "parameters": {"type": "object"}}
    assert options_of(body) == {
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
        "stop": ["END"],
        "top_p": 0.5,
        "top_k": 4,
    }
    assert needed_capabilities(body) == {"vision", "tools"}


def test_a_system_message_stays_where_it_is() -> None:
    body = checked(messages=[USER, {"role": "system", "content": "Be short."}, {"role": "user", "content": "So?"}])
    assert [each["role"] for each in messages_of(body, reasoning=False)] == ["user", "system", "user"]


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
