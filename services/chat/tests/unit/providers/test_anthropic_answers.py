"""What the events and messages of Anthropic's Messages API mean."""

import json
from typing import Any

import pytest

from chat.providers.anthropic_events import MessageParser
from chat_testing.parsed_answers import ParsedAnswer

START = {"type": "message_start", "message": {"model": "claude-x", "usage": {"input_tokens": 3, "output_tokens": 1}}}
STOP = {"type": "message_stop"}


def parse(*events: Any) -> ParsedAnswer:
    answer = ParsedAnswer(MessageParser())
    for event in events:
        answer.add(event)
    answer.finish()
    return answer


def block(kind: str, index: int = 0, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **members}}


def delta(kind: str, index: int = 0, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **members}}


def end(reason: str | None, **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


def test_thinking_is_reasoning_and_its_signature_is_left_out() -> None:
    answer = parse(
        START,
        block("thinking", thinking=""),
        delta("thinking_delta", thinking="Hm."),
        delta("signature_delta", signature="xyz"),
        block("redacted_thinking", 1, data="abc"),
        block("text", 2, text="Yes"),
        delta("text_delta", 2, text="!"),
        delta("citations_delta", 2, citation={}),
        end("end_turn", output_tokens=9, output_tokens_details={"thinking_tokens": 4}),
        STOP,
    )
    assert ("".join(entry.reasoning for entry in answer.entries), answer.text) == ("Hm.", "Yes!")
    assert answer.usage is not None
    assert (answer.usage.completion_tokens, answer.usage.reasoning_tokens) == (9, 4)
    assert answer.parser.ended


def test_prompt_tokens_include_those_that_are_read_from_and_written_to_the_cache() -> None:
    answer = parse(START, end("end_turn", output_tokens=2, cache_read_input_tokens=5, cache_creation_input_tokens=7))
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.cached_tokens, answer.usage.total_tokens) == (15, 5, 17)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
def test_stop_reasons_are_finish_reasons(given: str, reason: str) -> None:
    assert parse(START, block("text", text="a"), end(given)).finish_reason == reason


def test_a_call_without_arguments_has_an_empty_object() -> None:
    events = [block("tool_use", 1, id="a", name="f", input={}), delta("input_json_delta", 1, partial_json="")]
    answer = parse(START, *events, {"type": "content_block_stop", "index": 1}, end("tool_use"))
    assert answer.calls == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert answer.finish_reason == "tool_calls"


def test_calls_of_the_servers_own_tools_are_left_out() -> None:
    search = block("server_tool_use", 0, id="s", name="web_search", input={})
    answer = parse(START, search, delta("input_json_delta", 0, partial_json='{"q":1}'), end("end_turn"))
    assert (answer.calls, answer.finish_reason) == ([], "stop")


def test_a_whole_message_is_an_answer() -> None:
    content = [{"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "a", "name": "f", "input": {"n": 1}}]
    message = {"type": "message", "content": content, "stop_reason": "tool_use"}
    answer = parse({**message, "model": "claude-x", "usage": {"input_tokens": 1, "output_tokens": 2}})
    assert (answer.text, answer.finish_reason) == ("Hi", "tool_calls")
    assert json.loads(answer.calls[0]["function"]["arguments"]) == {"n": 1}
    assert answer.usage is not None
    assert answer.usage.total_tokens == 3


@pytest.mark.parametrize(
    ("kind", "code", "retryable"),
    [
        ("overloaded_error", "provider_unavailable", True),
        ("rate_limit_error", "provider_rate_limited", True),
        ("billing_error", "provider_unavailable", False),
        ("api_error", "provider_error", True),
        ("timeout_error", "provider_timeout", True),
        ("authentication_error", "provider_error", False),
    ],
)
def test_error_events_are_failures(kind: str, code: str, *, retryable: bool) -> None:
    failure = parse(START, {"type": "error", "error": {"type": kind, "message": "canary"}}).parser.failure
    assert failure is not None
    assert (failure.failure.code, failure.retryable) == (code, retryable)


@pytest.mark.parametrize("event", [[], 1, {"type": []}, {"type": "content_block_delta"}, delta("text_delta", text=1)])
def test_malformed_events_are_ignored(event: Any) -> None:
    assert parse(START, event, block("text", text="a"), end("end_turn")).text == "a"
