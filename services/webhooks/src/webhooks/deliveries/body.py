"""The body of a delivery."""

from datetime import datetime

import orjson

from parley.times import iso
from parley_events.models import TurnRedacted

_TEXTS = ("user_message", "tool_results", "message")
"""Members of the events of a turn that have what its user can delete."""


def delivery_body(name: str, time: datetime, data: bytes) -> bytes:
    """Return the JSON body of every attempt: the type without prefix and version, the time, and the data."""
    return f'{{"type":"{name}","timestamp":"{iso(time)}","data":'.encode() + data + b"}"


def redacted_body(body: bytes, redaction: TurnRedacted) -> bytes | None:
    """Return the body of an earlier event without what its user deleted; None if the event has nothing of it."""
    event = orjson.loads(body)
    data = event["data"]
    if data.get("turn_id") == str(redaction.turn_id):
        left = redaction.model_dump(mode="json", include=set(_TEXTS))
        changed = {name: left[name] for name in _TEXTS if name in data}
    elif event["type"] == "conversation.created":
        changed = {"title": None}  # the beginning of the first message
    else:
        return None
    return orjson.dumps({**event, "data": {**data, **changed}})
