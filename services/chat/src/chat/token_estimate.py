"""Token estimates for text that no provider has counted. Estimates err on the high side."""

from collections.abc import Iterable, Sequence
from typing import Any

PER_MESSAGE = 4
"""Overhead of a message in tokens."""
CHARACTERS_PER_TOKEN = 4


def estimate(text: str) -> int:
    """Return the estimated tokens of a text: one per four ASCII characters, one per other character."""
    if text.isascii():
        return -(-len(text) // CHARACTERS_PER_TOKEN)
    ascii_count = len(text.encode("ascii", "ignore"))
    return len(text) - ascii_count + -(-ascii_count // CHARACTERS_PER_TOKEN)


def estimate_messages(messages: Iterable[dict[str, Any]]) -> int:
    """Return the estimated tokens of messages in OpenAI's format."""
    return sum(
        PER_MESSAGE + _content(message.get("content")) + _calls(message.get("tool_calls")) for message in messages
    )


def _content(content: Any) -> int:
    if isinstance(content, str):
        return estimate(content)
    if isinstance(content, Sequence):
        return sum(estimate(str(part.get("text", ""))) for part in content if isinstance(part, dict))
    return 0


def _calls(calls: Any) -> int:
    return sum(estimate(str(call)) for call in calls) if isinstance(calls, Sequence) else 0
