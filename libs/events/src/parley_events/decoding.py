"""Decoding of event data into event models."""

import json
import re
from typing import Any, TypeVar

from pydantic import ValidationError

from parley_events.catalogue import model_of
from parley_events.cloudevents import CloudEvent
from parley_events.models import EventData
from parley_events.subscription import Rejected

E = TypeVar("E", bound=EventData)

MAX_MEMBERS = 5
"""Members that an error names."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# Two patterns: each begins with bytes that the search skips to, which one pattern for both does not.
_ESCAPED = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""Escapes of NUL and of surrogates, paired or not."""
_ENCODED = re.compile(rb"\xed[\xa0-\xbf]")
"""Surrogates encoded as bytes."""


def decode(event: CloudEvent) -> EventData | None:
    """Return the data as the model of the event's type and version, or None if there is no such model.

    Raise ``Rejected`` if the data does not fit the model.
    """
    model = model_of(event.name, event.version)
    return None if model is None else decode_as(model, event)


def decode_as(model: type[E], event: CloudEvent) -> E:
    """Return the data as ``model``. Raise ``Rejected`` if it does not fit.

    NUL and unpaired surrogates are valid in JSON, but databases do not store them: both become U+FFFD.
    """
    try:
        return model.model_validate_json(_storable_json(event.data))
    except (ValueError, RecursionError) as error:
        raise Rejected(f"The data of {event.type} {event.id} does not fit its model: {_explain(error)}.") from error


def _explain(error: Exception) -> str:
    """Return the members that do not fit, without their values, which may be texts of users."""
    if not isinstance(error, ValidationError):
        return "it cannot be read as JSON"
    found = error.errors(include_url=False, include_context=False, include_input=False)
    members = sorted({f"{each['loc'][0] if each['loc'] else 'the whole'} ({each['type']})" for each in found})
    return ", ".join(members[:MAX_MEMBERS])


def _storable_json(data: bytes) -> bytes:
    if not (_ESCAPED.search(data) or _ENCODED.search(data)):
        return data
    return json.dumps(_storable(json.loads(data))).encode()


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub(REPLACEMENT, value)
    if isinstance(value, list):
        return [_storable(entry) for entry in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(entry) for name, entry in value.items()}
    return value
