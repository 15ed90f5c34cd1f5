"""Data of files that are part of a request: base64, also as a data URL."""

import base64
import binascii
import re

_HEADER = re.compile(r"data:[\w.+/-]{0,100}(?:;[\w.+-]+=[\w.+-]+){0,4};base64,")
_TEXT_HEADER = "data:text/plain;base64,"


def decoded(data: str) -> bytes | None:
    """Return the bytes of a file; None for what is not base64."""
    header = _HEADER.match(data)
    try:
        return base64.b64decode(data[header.end() :] if header else data, validate=True) or None
    except (binascii.Error, ValueError):
        return None


def encoded_text(text: str) -> str:
    """Return a text as the data of a file."""
    return _TEXT_HEADER + base64.b64encode(text.encode()).decode()


def is_encoded_text(data: str) -> bool:
    """Tell whether the data of a file is a text without being decoded."""
    return data.startswith(_TEXT_HEADER)
