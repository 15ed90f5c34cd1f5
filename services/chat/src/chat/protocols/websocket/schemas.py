"""Schemas of the frames that a client sends."""

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError

from parley.errors import ParleyError, ValidationFailed
from parley.field_errors import FieldError
from parley.web.schemas import Id, RequestBody, Text
from parley.web.validation import FieldValueError, from_validation

Ref = Annotated[Text, StringConstraints(min_length=1, max_length=64)]


def _check_idempotency_key(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", text):
        raise FieldValueError("invalid_format", "Must have 1 to 255 visible ASCII characters.")
    return text


class AuthFrame(RequestBody):
    """Authenticates the socket, or renews its token."""

    type: Literal["auth"]
    token: Annotated[Text, StringConstraints(max_length=8192)]


class CreateFrame(RequestBody):
    """Starts a turn. The members correspond to the headers and body of ``POST /chat``."""

    type: Literal["turn.create"]
    ref: Ref
    idempotency_key: Annotated[Text, AfterValidator(_check_idempotency_key)] | None = None
    cache_control: Annotated[Text, StringConstraints(max_length=256)] | None = None
    body: dict[str, Any]


class ResumeFrame(RequestBody):
    """Streams a turn after a cursor."""

    type: Literal["turn.resume"]
    ref: Ref
    turn_id: Id
    after: Text | None = None


class CancelFrame(RequestBody):
    """Cancels a turn."""

    type: Literal["turn.cancel"]
    ref: Ref
    turn_id: Id


ClientFrame: TypeAlias = AuthFrame | CreateFrame | ResumeFrame | CancelFrame
REF: TypeAdapter[str] = TypeAdapter(Ref)
CLIENT_FRAME: TypeAdapter[ClientFrame] = TypeAdapter(Annotated[ClientFrame, Field(discriminator="type")])
_UNKNOWN_TYPE = FieldError("/type", "unknown_type", "Must be `auth`, `turn.create`, `turn.resume` or `turn.cancel`.")


class InvalidFrame(Exception):
    """An invalid client frame. ``ref`` is None if the frame has no valid one; then no error frame can name it."""

    def __init__(self, ref: str | None, error: ParleyError) -> None:
        super().__init__()
        self.ref, self.error = ref, error


def parse_frame(data: Any) -> ClientFrame:
    """Return the frame of a JSON value; raise InvalidFrame."""
    try:
        return CLIENT_FRAME.validate_python(data)
    except ValidationError as error:
        raise InvalidFrame(_ref_of(data), _to_problem(error, data)) from None


def _ref_of(data: Any) -> str | None:
    try:
        return REF.validate_python(data["ref"], strict=True)
    except (ValidationError, KeyError, TypeError):
        return None


def _to_problem(error: ValidationError, data: Any) -> ParleyError:
    found = error.errors(include_input=False)
    if found[0]["type"].startswith("union_tag"):
        return ValidationFailed([_UNKNOWN_TYPE])
    for each in found:
        each["loc"] = ("body", *each["loc"][1:])  # in place of the frame's type
    return from_validation(found, data)
