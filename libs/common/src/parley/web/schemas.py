"""Building blocks of request and response models that several services share."""

from decimal import Decimal
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

from parley.web.problems import FieldValueError

T = TypeVar("T")


class RequestBody(BaseModel):
    """A request body: unknown members are refused, types are not coerced from strings."""

    model_config = ConfigDict(extra="forbid")


class ResponseBody(BaseModel):
    """A response body: every member is always present."""


class Page(ResponseBody, Generic[T]):
    """One page of a list, and the cursor of the next."""

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
"""Text as Postgres can store it: valid Unicode without NUL. Every string a client sends has this type."""


def money(amount: Decimal) -> str:
    """Write US dollars with 9 places, ``0.000012340``."""
    return f"{amount:.9f}"


Money = Annotated[
    Decimal,
    PlainSerializer(money, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+\.\d{9}$"}, mode="serialization"),
]
