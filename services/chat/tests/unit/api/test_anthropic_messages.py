"""``POST /v1/messages``: what reaches the provider, and what is refused by name."""

import base64
from dataclasses import replace
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from chat.api.anthropic_messages.checks import check, needed_capabilities
from chat.catalogue import Model, Target
from chat.errors import ModelNotFound
from chat.generation import Prompt
from chat.parameters import FORWARDED, ProviderKind
from chat.protocols.anthropic_messages.prompt import messages_of, options_of, user_text
from chat.protocols.anthropic_messages.schemas import MessageRequest
from chat.providers.wire_formats import wire_format_of
from chat_testing.files import png
from chat_testing.turns import MODEL, make_catalogue
from parley.errors import InvalidRequest
from parley.web.problems import error_body

USER = {"role": "user", "content": "Hi"}
TOOL = {"name": "weather", "description": "The weather.", "input_schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}}
RESULT = {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "Sun"}]}
DATA = base64.b64encode(png()).decode()
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}
OUTPUT: dict[str, Any] = {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}}
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
        ({"thinking": {"type": ["enabled"]}}, "thinking"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"top_k": 4}, "top_k"),
        ({"speed": "fast"}, "speed"),
        ({"output_config": {"x": 1}}, "output_config.x"),
        ({"output_config": {"format": {"type": "text"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {}, "name": "n"}}},
            "output_config.format.name",
        ),
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
        ({"messages": asked({"type": "text", "text": "a", "is_error": True})}, "messages.0.content.0.is_error"),
        ({"messages": asked({**IMAGE, "text": "a"})}, "messages.0.content.0.text"),
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


def test_a_refused_thread_has_the_details_with_which_the_tool_runner_goes_on() -> None:
    with pytest.raises(InvalidRequest) as raised:
        checked(thread={"type": "create"})
    error = orjson.loads(error_body(raised.value, instance="/v1/messages", request_id="r", base_url="")[0])["error"]
    assert error["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_request")
    assert error["message"].startswith("thread: ")


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


@pytest.mark.parametrize("kind", ["openai", "compatible", "anthropic"])
def test_the_format_and_the_effort_of_an_answer_reach_every_server(kind: ProviderKind) -> None:
    body = checked(replace(ABLE, parameters=FORWARDED[kind]), output_config=OUTPUT)
    sent = wire_format_of(Target("http://m", None, kind)).body("m", Prompt([USER], 10, options=options_of(body)))
    if kind == "anthropic":
        assert sent["output_config"] == OUTPUT
    else:
        assert sent["reasoning_effort"] == "low"
        schema = {"name": "answer", "schema": SCHEMA}
        assert sent["response_format"] == {"type": "json_schema", "json_schema": schema}


def test_hints_of_tools_that_ask_for_nothing_are_accepted() -> None:
    checked(tools=[{**TOOL, "allowed_callers": ["direct"], "defer_loading": False, "eager_input_streaming": True}])


def test_a_system_message_stays_where_it_is() -> None:
    body = checked(messages=[USER, {"role": "system", "content": "Be short."}, {"role": "user", "content": "So?"}])
    assert [each["role"] for each in messages_of(body, reasoning=False)] == ["user", "system", "user"]
