"""Wire format of Anthropic's Messages API: the requests that are sent."""

from typing import Any

import pytest

from chat.catalogue import Target
from chat.generation import Prompt
from chat.providers.anthropic_format import JSON_INSTRUCTION, AnthropicFormat
from chat.providers.anthropic_prompt import conversation_of
from chat.providers.failures import AttemptFailed

FORMAT = AnthropicFormat()
THINKING = {"type": "enabled", "budget_tokens": 2000}


def body(*messages: dict[str, Any], max_tokens: int = 4000, temperature: float | None = None, **options: Any) -> Any:
    said = messages or ({"role": "user", "content": "Hi"},)
    return FORMAT.body("claude-x", Prompt(said, max_tokens, temperature, options))


def test_the_roles_of_a_conversation_alternate() -> None:
    call = {"id": "functions.weather:0", "type": "function", "function": {"name": "weather", "arguments": ""}}
    system, messages = conversation_of(
        [
            {"role": "system", "content": "Be short."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "", "tool_calls": [call, {**call, "id": "b"}]},
            {"role": "tool", "tool_call_id": "functions.weather:0", "content": "Sun"},
            {"role": "tool", "tool_call_id": "b", "content": ""},
            {"role": "user", "content": " "},
            {"role": "user", "content": "And?"},
        ]
    )
    assert system == "Be short.\n\nBe kind."
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == [
        {"type": "tool_use", "id": "functions_weather_0", "name": "weather", "input": {}},
        {"type": "tool_use", "id": "b", "name": "weather", "input": {}},
    ]
    assert messages[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "functions_weather_0", "content": "Sun"},
        {"type": "tool_result", "tool_use_id": "b"},
        {"type": "text", "text": "And?"},
    ]


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://x/y.png", {"type": "url", "url": "https://x/y.png"}),
        ("data:image/png;base64,AA==", {"type": "base64", "media_type": "image/png", "data": "AA=="}),
    ],
)
def test_images_are_sources(url: str, source: dict[str, str]) -> None:
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    _, messages = conversation_of([{"role": "user", "content": [part, {"type": "text", "text": "What?"}]}])
    assert messages[0]["content"] == [{"type": "image", "source": source}, {"type": "text", "text": "What?"}]


def test_a_system_prompt_alone_is_the_question() -> None:
    made = body({"role": "system", "content": "Say hi."})
    assert (made["messages"][0]["content"], "system" in made) == ([{"type": "text", "text": "Say hi."}], False)


TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, None),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_tools_and_their_choice_are_translated(options: dict[str, Any], choice: Any) -> None:
    made = body(tools=[TOOL], **options)
    assert made["tools"] == [{"name": "f", "description": "d", "input_schema": {"type": "object"}}]
    assert made.get("tool_choice") == choice


def test_calls_of_a_prompt_without_tools_have_definitions_that_are_not_offered() -> None:
    call = {"id": "a", "function": {"name": "weather", "arguments": "{}"}}
    asked, result = {"role": "user", "content": "?"}, {"role": "tool", "tool_call_id": "a", "content": "Sun"}
    made = body(asked, {"role": "assistant", "content": None, "tool_calls": [call]}, result)
    assert made["tools"] == [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]
    assert made["tool_choice"] == {"type": "none"}


@pytest.mark.parametrize(
    "options",
    [
        {"tools": "f"},
        {"tools": ["f"]},
        {"tools": [{"type": "web_search"}]},
        {"tools": [TOOL], "tool_choice": ["f"]},
        {"stop": [1]},
        {"stop": 1},
        {"reasoning_effort": ["low"]},
    ],
)
def test_options_without_the_form_of_openai_are_refused_like_by_a_server(options: dict[str, Any]) -> None:
    with pytest.raises(AttemptFailed) as refused:
        body(**options)
    assert (refused.value.failure.code, refused.value.retryable) == ("provider_error", False)


def test_a_call_without_a_name_is_refused() -> None:
    with pytest.raises(AttemptFailed):
        body({"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]})


def test_options_have_the_names_of_the_api() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    made = body(stop="END", user="u-1", top_k=5, top_p=0.5, reasoning_effort="minimal", response_format=schema)
    assert (made["stop_sequences"], made["metadata"], made["max_tokens"]) == (["END"], {"user_id": "u-1"}, 4000)
    assert (made["top_k"], made["top_p"]) == (5, 0.5)
    assert made["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert body(response_format={"type": "json_object"})["system"] == JSON_INSTRUCTION
    both = body(temperature=1.5, top_p=0.5)
    assert (both["temperature"], "top_p" in both) == (1.0, False)


def test_thinking_needs_room_and_a_question() -> None:
    assert body(thinking=THINKING, temperature=0.5) == {**body(), "thinking": THINKING}
    assert body(thinking=THINKING, max_tokens=1500)["thinking"]["budget_tokens"] == 1499
    assert "thinking" not in body(thinking=THINKING, max_tokens=1000)
    assert "thinking" not in body(thinking={"type": "disabled"})
    asked = {"role": "user", "content": "?"}
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": {"name": "f"}}]}
    assert "thinking" not in body(
        asked, called, {"role": "tool", "tool_call_id": "a", "content": "x"}, thinking=THINKING
    )


def test_the_key_and_the_version_are_headers() -> None:
    assert FORMAT.headers(Target("http://x", "k", "anthropic")) == {"anthropic-version": "2023-06-01", "x-api-key": "k"}
