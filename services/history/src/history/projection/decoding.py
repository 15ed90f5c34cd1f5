"""Decoding of event data into models, with text that Postgres can store."""

import json
from typing import Any

import orjson
import structlog

from parley_events.cloudevents import CloudEvent
from parley_events.models import EventData, model_of
from parley_events.subscription import Rejected

log = structlog.get_logger()


def decode(event: CloudEvent) -> EventData | None:
    """Return the data of an event, or None for an unknown type or version; raises Rejected when it is malformed."""
    model = model_of(event.name, event.version)
    if model is None:
        return None
    try:
        return model.model_validate(_storable(_parsed(event.data)))
    except (ValueError, RecursionError) as error:
        log.warning("event_malformed", type=event.type, id=str(event.id))
        raise Rejected("malformed data") from error


def _parsed(data: bytes) -> Any:
    """Parse JSON that may contain unpaired surrogates, which orjson rejects."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)


def _storable(value: Any) -> Any:
    """Replace NUL characters and unpaired surrogates, which Postgres cannot store."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_storable(entry) for entry in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(entry) for name, entry in value.items()}
    return value
