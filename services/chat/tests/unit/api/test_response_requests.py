"""Requests of the Responses API: what they ask of a turn, and what is refused by name."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from chat.api.openai_responses.checks import check, check_calls
from chat.errors import UnsupportedContent
from chat.file_references import openai_id
from chat.input_items import messages_of_items, user_text
from chat.protocols.openai_responses.parameters import item_of, options_of, repeated
from chat.protocols.openai_responses.schemas import ResponseRequest
from chat_testing.turns import MODEL, make_catalogue
from parley.errors import InvalidRequest
from parley.ids import new_id

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "Sun"}
TOOLS_MODEL = replace(MODEL, capabilities=("stream", "tools", "vision"))


def parsed(**members: Any) -> ResponseRequest:
    return ResponseRequest.model_validate({"model": "default", "input": "Hi", **members})


def items(given: list[Any]) -> list[dict[str, Any]]:
    return [item_of(item) for item in parsed(input=given).items()]


@pytest.mark.parametrize(
    ("members", "parameter"),
    [
        ({"model": None}, "model"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"surprise": 1}, "surprise"),
        ({"include": ["file_search_call.results"]}, "include.0"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"reasoning": {"summary": "concise"}}, "reasoning.summary"),
        ({"reasoning": {"pace": "slow"}}, "reasoning.pace"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format"),
        ({"text": {"tone": "kind"}}, "text.tone"),
        *(
            ({"input": [{"role": "user", "content": [part]}]}, f"input.0.content.0.{name}")
            for part, name in (
                ({"type": "input_text", "text": "a", "file_id": "file-1"}, "file_id"),
                ({"type": "input_image", "file_id": openai_id(new_id()), "filename": "a"}, "filename"),
                ({"type": "input_file", "file_data": "data:text/plain;base64,YQ==", "image_url": "a"}, "image_url"),
            )
        ),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"background": True, "store": False}, "background"),
        ({"conversation": "conv_1", "store": False}, "conversation"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "file_search", "vector_store_ids": []}]}, "tools.0.type"),
        ({"tools": [{"type": "mcp", "server_label": "a"}]}, "tools.0.type"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
        ({"tools": [{**TOOL, "parameters": "none"}]}, "tools.0.parameters"),
        ({"tools": [{**TOOL, "cached": True}]}, "tools.0.cached"),
        ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "tools": "all"}}, "tool_choice.tools"),
        ({"tools": [TOOL], "tool_choice": "allowed_tools"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": []}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": ["function"]}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "required"}}, "tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "mode": [], "tools": [{"name": "weather"}]}},
            "tool_choice.mode",
        ),
        ({"conversation": {"id": "conv_1", "mood": "good"}}, "conversation.mood"),
        ({"input": [{"type": "file_search_call", "id": "fs_1"}]}, "input.0.type"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "input.0.type"),
        ({"input": [{"role": "user"}]}, "input.0.content"),
        ({"input": [{"content": "Hi"}]}, "input.0.role"),
        ({"input": [{"role": "user", "content": "Hi", "audio": {}, "mood": "good"}]}, "input.0.mood"),
        ({"input": [{"role": "user", "content": "Hi", "name": "Ada"}]}, "input.0.name"),
        ({"input": [{"type": "function_call", "call_id": "c1", "name": "f"}]}, "input.0.arguments"),
        ({"input": [{**OUTPUT, "output": [{"type": "input_image", "image_url": "data:,"}]}]}, "input.0.output.0.type"),
        (
            {"input": [{"type": "reasoning", "summary": [{"type": "summary_text", "mood": "good"}]}]},
            "input.0.summary.0.mood",
        ),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input.0.content.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input.0.content.0.type"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(members: dict[str, Any], parameter: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(parsed(**members), make_catalogue(TOOLS_MODEL), lambda _: True)
    assert caught.value.errors[0].name == parameter


@pytest.mark.parametrize(
    ("members", "parameter"),
    [
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"top_p": 0.5}, "top_p"),
    ],
)
def test_a_parameter_that_the_model_lacks_is_named_as_it_was_sent(members: dict[str, Any], parameter: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(parsed(**members), make_catalogue(replace(MODEL, parameters=frozenset())), lambda _: True)
    (error,) = caught.value.errors
    assert (error.name, error.code) == (parameter, "unsupported_parameter")
    assert error.detail == "This model does not support the parameter. Remove it."


@pytest.mark.parametrize(
    "members",
    [
        {"input": 5},
        {"input": [{"role": "robot", "content": "Hi"}]},
        {"input": "Hi\x00"},
        {"temperature": 3},
        {"temperature": "1"},
        {"stream": "true"},
        {"store": 0},
        {"background": "no"},
        {"max_output_tokens": "5"},
        {"top_p": "0.5"},
        {"max_output_tokens": 0},
        {"truncation": "some"},
        {"tools": [TOOL] * 129},
        {"metadata": {"a": 1}},
        {"input": [{"role": "user", "content": "Hi"}] * 2001},
    ],
)
def test_a_value_of_the_wrong_form_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parsed(**members)


def test_an_image_needs_a_model_that_sees() -> None:
    image = {"type": "input_image", "image_url": "https://example.org/a.png"}
    body = parsed(input=[{"role": "user", "content": [image]}])
    with pytest.raises(UnsupportedContent):
        check(body, make_catalogue(MODEL), lambda _: True)
    with pytest.raises(UnsupportedContent, match="no addresses"):
        check(body, make_catalogue(replace(MODEL, capabilities=("stream", "vision"))), lambda _: True)
    model = replace(MODEL, capabilities=("stream", "vision", "image_urls"))
    assert check(body, make_catalogue(model), lambda _: True) == model
    assert messages_of_items([item_of(item) for item in body.items()]) == [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": image["image_url"], "detail": "auto"}}]}
    ]


def test_items_become_messages_with_their_calls_and_reasoning() -> None:
    given = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
            "id": "msg_1",
        },
        CALL,
        {**CALL, "call_id": "c2"},
        OUTPUT,
        {**OUTPUT, "call_id": "c2", "output": [{"type": "input_text", "text": "Rain"}]},
    ]
    function = {"name": "weather", "arguments": "{}"}
    calls = [{"id": name, "type": "function", "function": function} for name in ("c1", "c2")]
    answer = {"role": "assistant", "content": "I look.", "reasoning_content": "Hm", "tool_calls": calls}
    assert messages_of_items(items(given), reasoning=True) == [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": "Weather?"},
        answer,
        {"role": "tool", "tool_call_id": "c1", "content": "Sun"},
        {"role": "tool", "tool_call_id": "c2", "content": "Rain"},
    ]
    assert user_text(items(given)) == "Weather?"


@pytest.mark.parametrize(
    ("given", "calls_before", "code"),
    [
        ([OUTPUT], [], "unknown_call"),
        ([OUTPUT], [{"id": "c2"}], "unknown_call"),
        ([OUTPUT], [{"id": "c1"}, {"id": "c2"}], "missing_output"),
        ([CALL, {"role": "user", "content": "Hi"}], [], "missing_output"),
    ],
)
def test_calls_and_outputs_come_in_pairs(given: list[Any], calls_before: list[Any], code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_calls(items(given), calls_before)
    assert caught.value.errors[0].code == code
    check_calls(items([CALL, OUTPUT]), [])
    check_calls(items([OUTPUT]), [{"id": "c1"}])
    check_calls(items([OUTPUT]), None)


def test_parameters_have_the_form_of_chat_completions() -> None:
    schema = {"type": "object"}
    body = parsed(
        tools=[TOOL, {**TOOL, "name": "time", "strict": True}],
        tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "time"}]},
        parallel_tool_calls=False,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "a", "schema": schema, "strict": True}, "verbosity": "low"},
        top_p=0.5,
    )
    assert check(body, make_catalogue(TOOLS_MODEL), lambda _: True) == TOOLS_MODEL
    assert options_of(body) == {
        "tools": [{"type": "function", "function": {"name": "time", "parameters": schema, "strict": True}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}},
        "top_p": 0.5,
    }
    assert len(repeated(body)["tools"]) == 2
    assert repeated(body)["text"]["format"]["schema"] == schema
    named = parsed(tools=[TOOL], tool_choice={"type": "function", "name": "weather"})
    assert options_of(named)["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
