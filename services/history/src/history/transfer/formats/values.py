"""Values of formats that are not documented: whatever has another type counts as absent."""

from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Any

MAX_RAW_TIME = 40
"""Characters of a time."""
MAX_RAW_TITLE = 1_000
"""Characters of a title that are read before it is shortened."""
MAX_MODEL_LENGTH = 200
"""Characters of the name of a model."""


def text_of(value: Any, max_length: int) -> str | None:
    """Return a text on one line, cut to ``max_length`` characters, or None when there is none."""
    return (" ".join(value[:max_length].split()) or None) if isinstance(value, str) else None


def key_of(value: Any) -> str | None:
    """Return an id, or None when it is not a string."""
    return value if isinstance(value, str) and value else None


def in_utc(moment: datetime) -> datetime | None:
    """Return a time in UTC, or None in the first and last year: such times stand for none, as the default of .NET does.

    The driver of Postgres takes the first and the last time of Python for infinite ones.
    """
    try:
        found = moment.astimezone(UTC)
    except OverflowError:
        return None
    return found if MINYEAR < found.year < MAXYEAR else None


def time_of(value: Any) -> datetime | None:
    """Return the time that a text in ISO 8601 says, in UTC, or None when it says none."""
    if not isinstance(value, str) or len(value) > MAX_RAW_TIME:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return in_utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
