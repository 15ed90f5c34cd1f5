"""Token estimates for prompts that no provider has counted. Estimates err on the high side."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

PER_MESSAGE = 4
"""Overhead of a message in tokens."""
CHARACTERS_PER_TOKEN = 4
PER_IMAGE = 1_600
"""Tokens of an image, as much as a large one has with most providers. Its size in pixels is not known here."""
OTHER_TEXTS = ("reasoning_content", "reasoning", "refusal", "name")
"""Members of a message besides its content that are sent to the model."""


def estimate(text: str) -> int:
    """Return the estimated tokens of a text: one per four ASCII characters, one per other character."""
    if text.isascii():
        return -(-len(text) // CHARACTERS_PER_TOKEN)
    ascii_count = len(text.encode("ascii", "ignore"))
    return len(text) - ascii_count + -(-ascii_count // CHARACTERS_PER_TOKEN)


def estimate_messages(messages: Iterable[dict[str, Any]]) -> int:
    """Return the estimated tokens of messages in OpenAI's format."""
    return sum(
        PER_MESSAGE + _content(message.get("content")) + _calls(message.get("tool_calls")) + _others(message)
        for message in messages
    )


def estimate_options(options: Mapping[str, Any]) -> int:
    """Return the estimated tokens of the options that a server adds to the prompt, such as tools and schemas."""
    return sum(estimate(orjson.dumps(value).decode()) for value in options.values() if isinstance(value, dict | list))


def _content(content: Any) -> int:
    if isinstance(content, str):
        return estimate(content)
    if isinstance(content, Sequence):
        return sum(_part(part) for part in content if isinstance(part, dict))
    return 0


def _part(part: dict[str, Any]) -> int:
    if part.get("type") == "image_url":
        return PER_IMAGE
    return estimate(str(part.get("text") or part.get("refusal") or ""))


def _others(message: dict[str, Any]) -> int:
    return sum(estimate(text) for name in OTHER_TEXTS if isinstance(text := message.get(name), str))


def _calls(calls: Any) -> int:
    return sum(estimate(str(call)) for call in calls) if isinstance(calls, Sequence) else 0
