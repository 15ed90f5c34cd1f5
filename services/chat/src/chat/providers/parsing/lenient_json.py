"""Decoder of provider JSON that keeps what strict decoders reject: lone surrogates, invalid UTF-8, NaN."""

import json
from typing import Any

import orjson

BOM = "\ufeff"


class MalformedJson(ValueError):
    """The data is not JSON."""


def loads(data: bytes) -> Any:
    """Return the value; invalid UTF-8 is replaced, NaN is None. Raises MalformedJson."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        text = _decoded(data).strip(BOM)
        return json.loads(text, strict=False, parse_constant=lambda _: None)  # nosemgrep: lenient-json - an answer
    except (ValueError, RecursionError) as error:
        raise MalformedJson from error


def dumps(value: Any) -> str:
    """Return the JSON of a value that ``loads`` returned. It may contain surrogates."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _decoded(data: bytes) -> str:
    try:
        # Some servers encode each half of a surrogate pair by itself.
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")
