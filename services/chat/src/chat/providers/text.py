"""Text from outside that must be stored: models may say anything, Postgres takes no NUL and no half characters."""

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT = "\ufffd"


def storable(text: str) -> str:
    """Return the text with NUL and lone surrogates replaced."""
    return _UNSTORABLE.sub(REPLACEMENT, text)
