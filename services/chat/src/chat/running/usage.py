"""Usage of an answer: as the provider reports it if that can be true, else estimated."""

from collections.abc import Sequence
from typing import Any

import orjson

from chat.catalogue import Model
from chat.generation import UNUSABLE_USAGE, Prompt, has_images
from chat.model import LogEntry
from chat.token_estimate import estimate
from parley_events.parts import Usage

TEMPLATE_TOKENS = 1024
"""Tokens that a server may add to a prompt, for its chat template."""


def is_plausible(usage: Usage, prompt: Prompt, model: Model, *, has_output: bool) -> bool:
    """Tell whether a provider may have used these tokens for a prompt.

    Some servers limit the visible tokens of an answer alone. Its reasoning is limited by the context window.
    """
    if usage == UNUSABLE_USAGE or not 0 < usage.prompt_tokens <= _longest_prompt(prompt, model):
        return False
    visible = usage.completion_tokens - usage.reasoning_tokens
    return int(has_output) <= usage.completion_tokens <= model.context_window and visible <= prompt.max_tokens


def billed_usage(
    reported: Usage | None, entries: Sequence[LogEntry], prompt: Prompt, prompt_tokens: int, model: Model
) -> Usage:
    """Return the reported usage of an answer if that can be true, else an estimate."""
    if reported is not None and is_plausible(reported, prompt, model, has_output=bool(entries)):
        return reported
    return estimated_usage(entries, prompt_tokens, max_tokens=prompt.max_tokens)


def estimated_usage(entries: Sequence[LogEntry], prompt_tokens: int, *, max_tokens: int | None = None) -> Usage:
    """Return the usage of an answer of at most ``max_tokens``, whose tokens the provider did not report."""
    completion = estimate("".join(_text(entry) for entry in entries))
    if max_tokens is not None:
        completion = min(completion, max_tokens)
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion,
        total_tokens=prompt_tokens + completion,
        estimated=True,
    )


def _longest_prompt(prompt: Prompt, model: Model) -> int:
    """Return the most tokens that the prompt can have: no token of a text is shorter than a byte."""
    if has_images(prompt):
        return model.context_window
    size = len(orjson.dumps([list(prompt.messages), prompt.options]))
    return min(model.context_window, size + TEMPLATE_TOKENS)


def _text(entry: LogEntry) -> str:
    return entry.text + entry.reasoning + "".join(map(_call_text, entry.tool_calls))


def _call_text(call: dict[str, Any]) -> str:
    return "".join(call["function"].values())
