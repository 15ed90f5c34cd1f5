"""JSON of import files, with the characters replaced that JSON or Postgres does not allow."""

import re
from typing import Any

import orjson

from parley.errors import InvalidJson

REPAIRED_DETAIL = "Some characters are not allowed in text. They were replaced by U+FFFD or a space."

_NUL = rb"\u0000"
_REPLACEMENT = rb"\ufffd"
_ESCAPE = re.compile(
    rb"\\u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair of surrogates is a character
    rb"|(?P<bad>0000|[dD][89a-fA-F][0-9a-fA-F]{2}))"
)
_CONTROLS_TO_SPACES = bytes.maketrans(bytes(range(0x20)), b" " * 0x20)


def load(text: bytes) -> tuple[Any, bool]:
    """Return a JSON value, and whether characters of it were replaced; raises InvalidJson."""
    repaired = repair(text) if _NUL in text else text
    try:
        return orjson.loads(repaired), repaired != text
    except orjson.JSONDecodeError:
        repaired = repair(text)
    try:
        return orjson.loads(repaired), True
    except orjson.JSONDecodeError:
        raise InvalidJson from None


def repair(text: bytes) -> bytes:
    """Replace what is not UTF-8, NUL, half surrogate pairs and unescaped control characters."""
    text = text.decode(errors="replace").encode()
    repaired = bytearray(text)
    for escape in _ESCAPE.finditer(text.replace(rb"\\", b"__")):
        if escape["bad"]:
            repaired[escape.start() : escape.end()] = _REPLACEMENT
    return bytes(repaired.translate(_CONTROLS_TO_SPACES))
