"""Base classes and field types of request and response bodies."""

from decimal import Decimal
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from parley.web.query_text import form_error
from parley.web.validation import FieldValueError

T = TypeVar("T")


MAX_MEMBERS = 100
"""Maximum number of members of one object of a request body; checked before any member is validated."""


class RequestBody(BaseModel):
    """Base class of request bodies; unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _bound_members(cls, data: object) -> object:
        # Each unknown member is an error of its own, so a body of 1 MiB would give 100,000 of them.
        if isinstance(data, dict) and len(data) > MAX_MEMBERS:
            raise FieldValueError("too_long", f"At most {MAX_MEMBERS} members.")
        return data


def max_entries(count: int) -> BeforeValidator:
    """Return a validator that checks the number of members or elements before it looks at any of them."""

    def check(value: object) -> object:
        if isinstance(value, dict | list) and len(value) > count:
            raise FieldValueError("too_long", f"At most {count} entries.")
        return value

    return BeforeValidator(check)


def not_blank(text: str) -> str:
    """Refuse a text that is empty or whitespace. Use it as an ``after`` validator."""
    if not text.strip():
        raise FieldValueError("blank", "Must not be blank.")
    return text


def refuse_null(value: object) -> object:
    """Refuse null for a member that cannot be empty. Use it as a ``before`` validator of a change."""
    if value is None:
        raise FieldValueError("required", "Must not be null. Omit the member to keep its value.")
    return value


class ResponseBody(BaseModel):
    """Base class of response bodies; every field is always present."""


class Page(ResponseBody, Generic[T]):
    """One page of a list, and the cursor of the next page."""

    data: list[T]
    next_cursor: str | None


def _storable(text: str) -> str:
    if "\x00" in text:
        raise FieldValueError("invalid_text", "Must not contain the NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FieldValueError("invalid_text", "Must be valid Unicode text.") from None
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""Text that Postgres can store: valid Unicode without NUL. Use it for every string that a client sends."""


def _canonical_id(value: object) -> object:
    if isinstance(value, str) and form_error(UUID, value):
        raise FieldValueError("uuid_parsing", "Must be a UUID in lower case.")
    return value


Id = Annotated[UUID, BeforeValidator(_canonical_id)]
"""An id in a request body. Other spellings of a UUID are refused, as in paths, where they would be unknown."""


def money(amount: Decimal) -> str:
    """Format US dollars with 9 decimal places, for example ``0.000012340``."""
    return f"{amount:.9f}"


Money = Annotated[
    Decimal,
    PlainSerializer(money, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+\.\d{9}$"}, mode="serialization"),
]
