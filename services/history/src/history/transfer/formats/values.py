"""Values of formats that are not documented: whatever has another type counts as absent."""

from datetime import UTC, datetime
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


def time_of(value: Any) -> datetime | None:
    """Return the time that a text in ISO 8601 says, in UTC, or None when it says none."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= MAX_RAW_TIME else None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC) if moment else None
    except (ValueError, OverflowError):
        return None
