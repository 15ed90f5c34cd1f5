"""Sanitizing of provider text for Postgres, which rejects NUL and unpaired surrogates."""

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT = "\ufffd"
FIRST_HIGH, LAST_HIGH = "\ud800", "\udbff"


def storable(text: str) -> str:
    """Return the text with surrogate pairs joined, and NUL and lone surrogates replaced."""
    return text if _UNSTORABLE.search(text) is None else _repaired(text)


def _repaired(text: str) -> str:
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\x00", REPLACEMENT)


class TextJoiner:
    """Makes consecutive parts of a text storable, and joins a surrogate pair that is split between two parts."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""

    def add(self, part: str) -> str:
        """Return the storable text of a part. The first half of a pair at its end waits for the next part."""
        if not self._half and _UNSTORABLE.search(part) is None:
            return part
        text, self._half = self._half + part, ""
        if FIRST_HIGH <= text[-1:] <= LAST_HIGH:
            text, self._half = text[:-1], text[-1]
        return _repaired(text)

    def rest(self) -> str:
        """Return what is left at the end of the text: a replacement character for half a pair."""
        half, self._half = self._half, ""
        return REPLACEMENT if half else ""
