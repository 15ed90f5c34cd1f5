"""Strict JSON (RFC 8259, I-JSON): text that every parser reads alike."""

import json
import re
from typing import Any, NoReturn

from parley.errors import InvalidJson

MAX_VALUES, MAX_STRINGS = 20_000, 40_000
"""Objects, arrays and what they contain in one text; strings, with the names of members."""
MAX_DEPTH = 500
"""Levels of objects and arrays. Versions of Python, and the libraries behind it, differ in what they can read."""
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


def loads(data: str | bytes) -> Any:
    """Return the value of a JSON text; raise InvalidJson, which says where the text is wrong.

    The standard parser also accepts NaN, Infinity, repeated names and UTF-16. Other parsers read these differently or
    refuse them, so they are refused here.
    """
    try:
        text = data if isinstance(data, str) else data.decode()
        if text.startswith("\ufeff"):
            raise InvalidJson("The JSON begins with a byte order mark. Send it without.")
        _check_size(text)
        return json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse).decode(text)
    except UnicodeDecodeError:
        raise InvalidJson("The JSON is not encoded as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InvalidJson(f"The JSON is not valid at line {error.lineno}, column {error.colno}.") from None
    except (ValueError, RecursionError):
        raise InvalidJson from None


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise InvalidJson("A JSON object has two members of the same name.")
    return found


def _check_size(text: str) -> None:
    """Raise InvalidJson if a text has too many values or strings, before any of them is created."""
    # A string that ends with an escaped backslash hides its end from the second count, but not its beginning.
    if text.count('"') - text.count('\\"') > 2 * MAX_STRINGS:
        raise InvalidJson(f"JSON may have at most {MAX_STRINGS} strings.")
    opened = _opened(text)
    if opened <= MAX_DEPTH and opened + text.count(",") <= MAX_VALUES:
        return
    structure = _STRING.sub("", text)
    if _opened(structure) + structure.count(",") > MAX_VALUES:
        raise InvalidJson(f"JSON may have at most {MAX_VALUES} values.")
    _check_depth(structure)


def _check_depth(structure: str) -> None:
    depth = 0
    for bracket in _BRACKET.finditer(structure):
        depth += 1 if bracket[0] in "[{" else -1
        if not 0 <= depth <= MAX_DEPTH:
            raise InvalidJson(f"JSON may have at most {MAX_DEPTH} levels.") if depth > 0 else InvalidJson()


def _opened(text: str) -> int:
    return text.count("[") + text.count("{")


def _refuse(_: str) -> NoReturn:
    raise InvalidJson
