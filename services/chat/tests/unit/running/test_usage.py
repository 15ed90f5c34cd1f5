"""Usage that a provider reports, and estimates."""

from dataclasses import replace

import pytest

from chat.generation import UNUSABLE_USAGE, Prompt
from chat.model import LogEntry
from chat.running.usage import TEMPLATE_TOKENS, estimated_usage, is_plausible
from chat_testing.turns import MODEL
from parley_events.parts import Usage

PROMPT = Prompt([{"role": "user", "content": "Hi"}], 10)
IMAGE = Prompt([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}], 10)


def used(prompt: int, completion: int) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


@pytest.mark.parametrize("usage", [used(1, 1), used(1, 10), used(TEMPLATE_TOKENS, 10)])
def test_usage_within_the_request_is_plausible(usage: Usage) -> None:
    assert is_plausible(usage, PROMPT, MODEL, has_output=True)


@pytest.mark.parametrize(
    "usage", [used(1, 11), used(0, 5), used(5, 0), used(TEMPLATE_TOKENS + 200, 5), used(2**31 - 1, 5), UNUSABLE_USAGE]
)
def test_usage_that_the_request_does_not_allow_is_not_plausible(usage: Usage) -> None:
    assert not is_plausible(usage, PROMPT, MODEL, has_output=True)


def test_only_the_context_window_limits_the_reasoning() -> None:
    """As with xAI, whose limit holds for the visible tokens."""
    reasoned = used(1, 60).model_copy(update={"reasoning_tokens": 50})
    assert is_plausible(reasoned, PROMPT, MODEL, has_output=True)
    assert not is_plausible(reasoned.model_copy(update={"reasoning_tokens": 49}), PROMPT, MODEL, has_output=True)
    assert not is_plausible(reasoned, PROMPT, replace(MODEL, context_window=59), has_output=True)


def test_images_may_fill_the_context_window_but_not_more() -> None:
    assert is_plausible(used(MODEL.context_window, 5), IMAGE, MODEL, has_output=True)
    assert not is_plausible(used(MODEL.context_window + 1, 5), IMAGE, MODEL, has_output=True)
    assert not is_plausible(used(300, 5), PROMPT, replace(MODEL, context_window=299), has_output=True)


def test_an_answer_without_output_may_have_no_completion_tokens() -> None:
    assert is_plausible(used(3, 0), PROMPT, MODEL, has_output=False)


def test_an_estimate_counts_the_text_of_tool_calls_and_respects_the_limit() -> None:
    call = {"index": 0, "id": "call", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    entries = [LogEntry("word"), LogEntry("", (call,))]
    assert estimated_usage(entries, 3).completion_tokens == 3
    assert estimated_usage(entries, 3, max_tokens=2).total_tokens == 5
