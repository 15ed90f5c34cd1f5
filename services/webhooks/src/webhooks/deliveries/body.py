"""The body of a delivery."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from parley.times import iso
from parley_events.models import TurnRedacted

_TEXTS = ("user_message", "tool_results", "message")
"""Members of the events of a turn that have what its user can delete."""


def delivery_body(name: str, time: datetime, data: bytes) -> bytes:
    """Return the JSON body of every attempt: the type without prefix and version, the time, and the data."""
    return f'{{"type":"{name}","timestamp":"{iso(time)}","data":'.encode() + data + b"}"


def redacted_body(body: bytes, redaction: TurnRedacted) -> bytes | None:
    """Return the body without the texts that a deletion removed; None if it has none of them."""
    event = orjson.loads(body)
    data = event["data"]
    if data.get("turn_id") == str(redaction.turn_id):
        left = redaction.model_dump(mode="json", include=set(_TEXTS))
        changed = {name: left[name] for name in _TEXTS if name in data}
    elif event["type"] == "conversation.created":
        question = redaction.user_message
        if question is not None and _begins_with(question.content, data["title"]):
            return None
        changed = {"title": None}
    else:
        return None
    return orjson.dumps({**event, "data": {**data, **changed}})


def kept_texts(redaction: TurnRedacted) -> dict[str, str]:
    """Return digests of the texts that a deletion leaves, by the member of the event that has them."""
    left = redaction.model_dump(mode="json", include=set(_TEXTS))
    return {name: _digest(left[name]) for name in _TEXTS}


def late_body(body: bytes, kept: Mapping[str, Mapping[str, str]], *, untitled: bool) -> bytes:
    """Return the body of an event that arrives after deletions in its conversation, without texts that are not left.

    ``kept`` has the digests of ``kept_texts`` by turn. ``untitled``: the first title may have been deleted.
    """
    event = orjson.loads(body)
    data = event["data"]
    if event["type"] == "conversation.created" and untitled:
        changed: dict[str, Any] = {"title": None}
    else:
        digests = kept.get(str(data.get("turn_id")), {})
        changed = {
            name: _blank(data[name]) for name in digests if name in data and _digest(data[name]) != digests[name]
        }
    return orjson.dumps({**event, "data": {**data, **changed}}) if changed else body


def blank_body(body: bytes) -> bytes:
    """Return the body of an event without the texts that its user may have deleted."""
    event = orjson.loads(body)
    data = event["data"]
    changed: dict[str, Any] = {name: _blank(data[name]) for name in _TEXTS if "turn_id" in data and name in data}
    if event["type"] == "conversation.created":
        changed["title"] = None
    return orjson.dumps({**event, "data": {**data, **changed}}) if changed else body


def _begins_with(text: str, title: str | None) -> bool:
    """Return whether a title is the beginning of a message, as history makes titles."""
    return title is not None and " ".join(text.split()).startswith(title.removesuffix("…"))


def _digest(member: Any) -> str:
    """Return the digest of the texts of a message, or of a list of results."""
    parts = member if isinstance(member, list) else [member or {}]
    texts = [[part.get("content"), part.get("tool_calls")] for part in parts]
    return hashlib.sha256(orjson.dumps(texts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _blank(member: Any) -> Any:
    if isinstance(member, list):
        return [_blank(part) for part in member]
    if not isinstance(member, dict):
        return member
    return {**member, "content": "", **({"tool_calls": None} if "tool_calls" in member else {})}
