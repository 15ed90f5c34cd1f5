"""Frames of the Responses API over a WebSocket: those of clients, and the events as text frames."""

import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError

from chat.protocols.openai_responses import ids
from chat.protocols.openai_responses.events import json_line
from chat.protocols.openai_responses.parameters import repeated
from chat.protocols.openai_responses.resource import DEFAULTS
from chat.protocols.openai_responses.schemas import ResponseRequest
from chat.protocols.websocket.schemas import AuthFrame
from parley.errors import InvalidRequest
from parley.field_errors import FieldError
from parley.web import strict_json
from parley.web.validation import from_validation

_UNKNOWN_TYPE = FieldError("/type", "unknown_type", "Must be `response.create`.")


class ResponseCreateFrame(ResponseRequest):
    """Creates a response. The members are those of ``POST /v1/responses``."""

    type: Literal["response.create"]
    generate: bool | None = Field(None, strict=True)
    """False: keep the input for the next response of this connection, without an answer."""


ResponsesFrame: TypeAlias = AuthFrame | ResponseCreateFrame
_FRAME: TypeAdapter[ResponsesFrame] = TypeAdapter(Annotated[ResponsesFrame, Field(discriminator="type")])


def parse_responses_frame(text: str | None) -> ResponsesFrame:
    """Return the frame of a text; raise InvalidRequest, InvalidJson or ValidationFailed. None is a binary frame."""
    if text is None:
        raise InvalidRequest("Frames must be text.")
    data = strict_json.loads(text)
    if not isinstance(data, dict):
        raise InvalidRequest("A frame is a JSON object with a `type`.")
    try:
        return _FRAME.validate_python(data)
    except ValidationError as error:
        found = error.errors(include_input=False)
    if found[0]["type"].startswith("union_tag"):
        raise InvalidRequest(errors=[_UNKNOWN_TYPE])
    for each in found:
        each["loc"] = ("body", *each["loc"][1:])  # in place of the frame's type
    raise from_validation(found, data)


def event_frames(lines: bytes) -> Iterator[str]:
    """Yield the events of ``json_line`` as text frames."""
    for line in lines.splitlines():
        yield line.decode()


def prepared_frames(turn_id: UUID, model: str, frame: ResponseCreateFrame) -> Iterator[str]:
    """Yield the events of a response that was prepared without an answer."""
    now = int(time.time())
    found: dict[str, Any] = {
        "id": ids.response_id(turn_id),
        "object": "response",
        "created_at": now,
        "completed_at": None,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "conversation": None,
        "usage": None,
        "metadata": dict(frame.metadata or {}),
        **DEFAULTS,
        **repeated(frame),
        "previous_response_id": frame.previous_response_id,
    }
    done = {**found, "status": "completed", "completed_at": now, "usage": _NO_USAGE}
    events = (("created", found), ("in_progress", found), ("completed", done))
    for number, (name, response) in enumerate(events):
        yield from event_frames(json_line(f"response.{name}", number, {"response": response}))


_NO_USAGE: dict[str, Any] = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}
