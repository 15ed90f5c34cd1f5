"""Opaque list cursors: the sort key of the last entry on a page, with a checksum.

The checksum detects forged cursors and cursors of another list. It is not a signature and does not need to be: a cursor
holds a position in the caller's own list, and every query selects the caller's rows only.
"""

import base64
import binascii
import hashlib
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from parley.errors import InvalidCursor

MAX_LENGTH = 512
_DIGEST_SIZE = 6
_MAX_INTEGER = 2**62


def encode(kind: str, values: Sequence[str | float | None]) -> str:
    """Return the cursor for a position in the list ``kind``."""
    body = orjson.dumps(list(values))
    return base64.urlsafe_b64encode(_digest(kind, body) + body).rstrip(b"=").decode()


def decode(kind: str, cursor: str, types: Sequence[type]) -> list[Any]:
    """Return the values of a cursor as ``types``; raises InvalidCursor unless it is a cursor of this list."""
    if len(cursor) > MAX_LENGTH:
        raise InvalidCursor
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True)
        body = raw[_DIGEST_SIZE:]
        values = orjson.loads(body)
        if raw[:_DIGEST_SIZE] != _digest(kind, body):
            raise InvalidCursor
        return [_READ[wanted](value) for wanted, value in zip(types, values, strict=True)]
    except (binascii.Error, ValueError, TypeError, AttributeError, OverflowError):
        raise InvalidCursor from None


def _integer(value: Any) -> int:
    if type(value) is not int or not -_MAX_INTEGER <= value <= _MAX_INTEGER:
        raise ValueError
    return value


def _number(value: Any) -> float:
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


_READ: dict[type, Callable[[Any], Any]] = {int: _integer, float: _number, str: str, UUID: UUID, datetime: _moment}


def _digest(kind: str, body: bytes) -> bytes:
    return hashlib.blake2s(kind.encode() + b"\0" + body, digest_size=_DIGEST_SIZE).digest()
