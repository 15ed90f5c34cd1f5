"""Text and reasoning of a message, whose content is a text or a list of parts."""

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


def reasoning_of(message: dict[str, Any]) -> str:
    """Return the model's reasoning in a message or in its delta, under any of its usual names."""
    for name in ("reasoning_content", "reasoning"):
        found = message.get(name)
        if found and isinstance(found, str):
            return found
    content = message.get("content")
    if not isinstance(content, list):
        return ""
    return "".join(_thinking(part["thinking"]) for part in content if isinstance(part, dict) and "thinking" in part)


def _thinking(found: Any) -> str:
    return found if isinstance(found, str) else "".join(map(_text_of_part, found if isinstance(found, list) else []))


def _text_of_part(part: Any) -> str:
    if isinstance(part, dict):
        part = next((part[name] for name in _MEMBERS if part.get(name)), None)
        if isinstance(part, dict):
            part = part.get("value")
    return part if isinstance(part, str) else ""
