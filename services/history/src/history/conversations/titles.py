"""Automatic conversation titles, made from the first message."""

MAX_TITLE_LENGTH = 60
"""Characters of an automatic title."""
MAX_FIRST_LINE = 1_000
"""Characters of the first line that is not blank, of which a title is made."""
_ELLIPSIS = "…"


def title_from(message: str) -> str | None:
    """Return the first line that is not blank, shortened; None for a blank message."""
    lines = message.lstrip()[:MAX_FIRST_LINE].splitlines()
    return shorten(" ".join(lines[0].split())) if lines else None


def shorten(text: str, max_length: int = MAX_TITLE_LENGTH) -> str:
    """Cut a text to ``max_length`` characters, at a word boundary in its second half if there is one."""
    if len(text) <= max_length:
        return text
    head = text[: max_length - 1]
    space = head.rfind(" ")
    return (head[:space] if space > max_length // 2 else head).rstrip() + _ELLIPSIS
