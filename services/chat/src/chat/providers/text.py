"""Sanitizing of provider text for Postgres, which rejects NUL and unpaired surrogates."""

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT = "\ufffd"


def storable(text: str) -> str:
    """Return the text with NUL and lone surrogates replaced."""
    return _UNSTORABLE.sub(REPLACEMENT, text)
