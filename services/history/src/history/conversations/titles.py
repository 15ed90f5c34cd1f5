"""The title that a conversation gets from its first message."""

LONGEST = 60
_ELLIPSIS = "…"


def title_from(message: str) -> str | None:
    """Return the first line that says something, shortened at a word; None when there is none."""
    for line in message.splitlines():
        words = line.split()
        if words:
            return shorten(" ".join(words))
    return None


def shorten(text: str, longest: int = LONGEST) -> str:
    """Cut a text to ``longest`` characters, at a space when one is near."""
    if len(text) <= longest:
        return text
    head = text[: longest - 1]
    space = head.rfind(" ")
    return (head[:space] if space > longest // 2 else head).rstrip() + _ELLIPSIS
