"""Text of a message, whose content is a text or a list of parts."""

from typing import Any

_MEMBERS = ("text", "refusal")
"""Members of a part that have its text."""


def text_of(message: dict[str, Any]) -> str:
    """Return the text of a message or of its delta; anything else in its content is left out."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    text = "".join(map(_text_of_part, parts))
    refusal = message.get("refusal")
    return text if text or not isinstance(refusal, str) else refusal


def _text_of_part(part: Any) -> str:
    if isinstance(part, dict):
        part = next((part[name] for name in _MEMBERS if part.get(name)), None)
        if isinstance(part, dict):
            part = part.get("value")
    return part if isinstance(part, str) else ""
