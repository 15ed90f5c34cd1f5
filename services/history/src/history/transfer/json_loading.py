"""JSON of import files, with the characters replaced that JSON or Postgres does not allow.

One call of the JSON parser holds Python's lock, so that large texts are parsed in parts: in a worker thread, the event
loop runs between two parts.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from parley.errors import InvalidJson

REPAIRED_DETAIL = "Some characters are not allowed in text. They were replaced by U+FFFD or a space."
PART_SIZE = 65_536
"""Bytes that are parsed in one call, unless one element has more."""
MAX_REPAIRS = 10_000
"""Escapes that are replaced in one part. A text with more is invalid."""

MAX_NAME_LENGTH = 200
"""Bytes before a container in which its name is looked for."""

_NAME = re.compile(rb'("(?:[^"\\]|\\.)*")\s*:\s*\Z')
_NUL = rb"\u0000"
_REPLACEMENT = rb"\ufffd"
_ESCAPE = re.compile(
    rb"\\u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair of surrogates is a character
    rb"|(?P<bad>0000|[dD][89a-fA-F][0-9a-fA-F]{2}))"
)
_CONTROLS_TO_SPACES = bytes.maketrans(bytes(range(0x20)), b" " * 0x20)


@dataclass(slots=True)
class LoadedJson:
    """A JSON value, whether characters of it were replaced, and its large containers."""

    value: Any
    repaired: bool
    containers: list[Any] = field(default_factory=list)

    def release(self) -> None:
        """Drop the elements of the large containers one by one. To drop all at once would hold Python's lock."""
        for container in self.containers:
            while container:
                container.popitem() if isinstance(container, dict) else container.pop()


def load(text: bytes, cuts: Sequence[int] = (), part_size: int = PART_SIZE) -> LoadedJson:
    """Return a JSON value; raises InvalidJson.

    ``cuts`` are the places of the brackets and commas of the containers inside the outermost one.
    """
    found = LoadedJson({}, repaired=False)
    loaded: dict[str, Any] = {}
    head, end = list[bytes](), 0
    for name, places in _members(text, cuts) if len(text) > part_size else ():
        loaded[name], bad = _load_container(text, places, part_size)
        found.containers.append(loaded[name])
        found.repaired = found.repaired or bad
        head += (text[end : places[0]], b"null")
        end = places[-1] + 1
    value, bad = _load_part(b"".join([*head, text[end:]]))
    if loaded and not isinstance(value, dict):
        raise InvalidJson
    found.value = {**value, **loaded} if loaded else value
    found.repaired = found.repaired or bad
    return found


def repair(text: bytes) -> bytes:
    """Replace what is not UTF-8, NUL, half surrogate pairs and unescaped control characters; raises InvalidJson."""
    text = text.decode(errors="replace").encode()
    repaired = bytearray(text)
    bad = (escape for escape in _ESCAPE.finditer(text.replace(rb"\\", b"__")) if escape["bad"])
    for count, escape in enumerate(bad, 1):
        if count > MAX_REPAIRS:
            raise InvalidJson
        repaired[escape.start() : escape.end()] = _REPLACEMENT
    return bytes(repaired.translate(_CONTROLS_TO_SPACES))


def _members(text: bytes, cuts: Sequence[int]) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield the name of each container, and its places: its opening bracket, the commas in it, and its end."""
    places: list[int] = []
    for place in cuts:
        places.append(place)
        if text[place] in b"]}":
            name = _NAME.search(text, max(0, places[0] - MAX_NAME_LENGTH), places[0])
            if name and text[places[0]] in b"[{":
                yield _load_part(name[1])[0], places
            places = []


def _load_container(text: bytes, places: Sequence[int], part_size: int) -> tuple[Any, bool]:
    is_list = text[places[0]] == ord("[")
    elements: list[Any] = []
    members: dict[str, Any] = {}
    repaired, start = False, places[0]
    for place, after in zip(places[1:], [*places[2:], None], strict=True):
        # The part ends where the next element would make it too long.
        if after is not None and after - start <= part_size:
            continue
        part = text[start + 1 : place]
        value, bad = _load_part(b"[" + part + b"]" if is_list else b"{" + part + b"}")
        elements.extend(value) if is_list else members.update(value)
        repaired, start = repaired or bad, place
    return elements if is_list else members, repaired


def _load_part(text: bytes) -> tuple[Any, bool]:
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
