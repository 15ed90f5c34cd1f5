"""Times in requests."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from parley.web.validation import FieldValueError

LATEST = datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)
"""The last time in milliseconds. The driver of Postgres takes the last one of Python for an infinite one."""
INVALID_TIME = "Must be a time with a time zone, for example 2026-11-22T10:00:00Z."


def _check_has_time(value: object) -> object:
    if not isinstance(value, str) or "T" not in value.upper():
        raise FieldValueError("invalid_format", INVALID_TIME)
    return value


def _to_utc(moment: datetime) -> datetime:
    try:
        return min(moment.astimezone(UTC), LATEST)
    except OverflowError:
        raise FieldValueError("invalid_format", INVALID_TIME) from None


Moment = Annotated[AwareDatetime, BeforeValidator(_check_has_time), AfterValidator(_to_utc)]
"""A time in ISO 8601 with a time zone; numbers are refused."""
