"""Estimating tokens, where no provider has counted them: rather too many than too few."""

from collections.abc import Iterable, Sequence
from typing import Any

PER_MESSAGE = 4
"""Tokens that the frame of a message costs."""
CHARACTERS_PER_TOKEN = 4


def estimate(text: str) -> int:
    """Return about how many tokens a text has: four ASCII characters, or one of any other script, for each."""
    if text.isascii():
        return -(-len(text) // CHARACTERS_PER_TOKEN)
    ascii_count = sum(character < "\x80" for character in text)
    return len(text) - ascii_count + -(-ascii_count // CHARACTERS_PER_TOKEN)


def estimate_messages(messages: Iterable[dict[str, Any]]) -> int:
    """Return about how many tokens messages on OpenAI's wire have."""
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
