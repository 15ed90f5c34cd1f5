"""Frames that clients send over a WebSocket. They are parsed once, and services receive what was parsed."""

from typing import Any, NamedTuple

import orjson

from parley.errors import InvalidJson, InvalidRequest
from parley.web import strict_json

MAX_STRUCTURE = 80_000
"""Characters of a frame that may separate values: brackets, braces, commas and colons, also inside strings.

The longest message and system prompt may consist of them. The number bounds the time to parse a frame.
"""
MAX_AUTH_FRAME = 16_384
"""Characters of a frame before the caller is known: a token and its wrapping."""
_SEPARATORS = "[{,:"
_AUTH_MEMBERS = {"type", "token"}
_COSTLY_TYPES = frozenset({"turn.create", "response.create"})


class ClientFrame(NamedTuple):
    """A frame: the token of an ``auth`` frame (else None), whether it starts a turn, and its text for the service."""

    token: str | None
    costly: bool
    text: str


def read_frame(message: Any, *, anonymous: bool = False) -> ClientFrame:
    """Return the frame of an ASGI message. Raise InvalidRequest or InvalidJson.

    ``anonymous``: the caller is not known yet, so only a short frame is parsed.
    """
    text = message.get("text")
    if text is None:
        raise InvalidRequest("Frames must be text.")
    if anonymous and len(text) > MAX_AUTH_FRAME:
        raise InvalidRequest("The first frame must be an `auth` frame.")
    if len(text) > MAX_STRUCTURE and sum(map(text.count, _SEPARATORS)) > MAX_STRUCTURE:
        raise InvalidRequest("The frame has too many values.")
    frame = _parse(text)
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise InvalidRequest("A frame is a JSON object with a `type`.")
    token = _token_of(frame) if frame["type"] == "auth" else None
    return ClientFrame(token, frame["type"] in _COSTLY_TYPES, _to_text(frame))


def auth_frame(token: str) -> str:
    """Return the frame that renews the token of a WebSocket."""
    return orjson.dumps({"type": "auth", "token": token}).decode()


def _parse(text: str) -> Any:
    try:
        orjson.loads(text)  # refuses more than strict_json does: lone surrogates, and numbers beyond a float's range
    except orjson.JSONDecodeError:
        raise InvalidJson("The frame is not valid JSON.") from None
    return strict_json.loads(text)


def _token_of(frame: dict[str, Any]) -> str:
    token = frame.get("token")
    if not isinstance(token, str) or frame.keys() != _AUTH_MEMBERS:
        raise InvalidRequest("An `auth` frame has exactly the members `type` and `token`.")
    return token


def _to_text(frame: dict[str, Any]) -> str:
    try:
        return orjson.dumps(frame).decode()
    except orjson.JSONEncodeError:  # an integer of more than 64 bits, or too many levels
        raise InvalidRequest("The frame has a value that is not supported.") from None
