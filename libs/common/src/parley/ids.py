"""Identifiers: lower-case UUIDv7."""

import hashlib
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a new UUIDv7; ids sort by creation time."""
    return uuid7()


def first_id(moment: datetime) -> UUID:
    """Return the id before which every id was made earlier than ``moment``."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def parse_id(text: str) -> UUID | None:
    """Return the id in a path segment, or None unless it is a UUID in canonical form."""
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text else None


def pseudonym(user_id: str) -> str:
    """Return a short digest of a user id, to correlate log lines of one user without naming the user."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:12]
