"""Strict JSON (RFC 8259, I-JSON): text that every parser reads alike."""

import json
from typing import Any, NoReturn

from parley.errors import InvalidJson

MAX_OBJECTS = 20_000
"""Objects in one text."""


def loads(data: str | bytes) -> Any:
    """Return the value of a JSON text; raise InvalidJson.

    The standard parser also accepts NaN, Infinity, repeated names and UTF-16. Other parsers read these differently or
    refuse them, so they are refused here.
    """
    objects = 0

    def read_object(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal objects
        objects += 1
        if objects > MAX_OBJECTS:
            raise InvalidJson(f"JSON may have at most {MAX_OBJECTS} objects.")
        found = dict(members)
        if len(found) != len(members):
            raise InvalidJson("A JSON object has two members of the same name.")
        return found

    try:
        text = data if isinstance(data, str) else data.decode()
        return json.JSONDecoder(object_pairs_hook=read_object, parse_constant=_refuse).decode(text)
    except (ValueError, RecursionError):
        raise InvalidJson from None


def _refuse(_: str) -> NoReturn:
    raise InvalidJson
