"""Identifiers: UUIDv7, lower case."""

import hashlib
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a new UUIDv7: unique, and sorted by the time it was made."""
    return uuid7()


def parse_id(text: str) -> UUID | None:
    """Return the id that a path segment names, or None when it is none in canonical spelling."""
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text else None


def pseudonym(user_id: str) -> str:
    """Return a short digest that lets log lines of one user be joined without naming the user."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:12]
