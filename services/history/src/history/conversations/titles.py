"""Automatic conversation titles, made from the first message."""

MAX_TITLE_LENGTH = 60
"""Characters of an automatic title."""
_ELLIPSIS = "…"


def title_from(message: str) -> str | None:
    """Return the first line that is not blank, shortened; None for a blank message."""
    for line in message.splitlines():
        words = line.split()
        if words:
            return shorten(" ".join(words))
    return None


def shorten(text: str, max_length: int = MAX_TITLE_LENGTH) -> str:
    """Cut a text to ``max_length`` characters, at a word boundary in its second half if there is one."""
    if len(text) <= max_length:
        return text
    head = text[: max_length - 1]
    space = head.rfind(" ")
    return (head[:space] if space > max_length // 2 else head).rstrip() + _ELLIPSIS
