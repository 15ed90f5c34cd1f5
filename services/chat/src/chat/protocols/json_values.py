"""JSON values that Parley forwards or stores without knowing their members."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator

from parley.web.validation import FieldValueError

MAX_DEPTH = 32
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1
"""Limits of integers: larger ones are not representable in most JSON parsers."""


def check_storable(value: Any, depth: int = 0) -> Any:
    """Reject, at any depth, values that Postgres or a provider cannot accept."""
    if depth > MAX_DEPTH:
        raise FieldValueError("too_deep", "Is nested too deeply.")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float):
        _check_number(fits=math.isfinite(value))
    elif isinstance(value, int):
        _check_number(fits=MIN_INTEGER <= value <= MAX_INTEGER)
    elif isinstance(value, dict):
        for key, inner in value.items():
            check_storable(key, depth + 1)
            check_storable(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            check_storable(inner, depth + 1)
    return value


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FieldValueError("invalid_text", "Must be valid Unicode text.") from None
    if "\x00" in text:
        raise FieldValueError("invalid_text", "Must not contain the NUL character.")


def _check_number(*, fits: bool) -> None:
    if not fits:
        raise FieldValueError("out_of_range", "Must be a number of at most 64 bits.")


Json = Annotated[Any, AfterValidator(check_storable)]
