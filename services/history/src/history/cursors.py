"""Opaque cursors: what a list was sorted by at the end of a page, with a checksum.

The checksum finds cursors that we did not make, or made for another list. It is no signature: a cursor holds only a
place in the caller's own list, and every query asks for the caller's rows.
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
_DIGEST = 6
_LARGEST = 2**62


def encode(kind: str, values: Sequence[str | float | None]) -> str:
    """Return the cursor of a place in the list ``kind``."""
    body = orjson.dumps(list(values))
    return base64.urlsafe_b64encode(_digest(kind, body) + body).rstrip(b"=").decode()


def decode(kind: str, cursor: str, types: Sequence[type]) -> list[Any]:
    """Return the values of a cursor as ``types``; raises InvalidCursor unless ``encode`` made it for this list."""
    try:
        raw = base64.b64decode(cursor[:MAX_LENGTH].encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True)
        body = raw[_DIGEST:]
        values = orjson.loads(body)
        if raw[:_DIGEST] != _digest(kind, body):
            raise InvalidCursor
        return [_READ[wanted](value) for wanted, value in zip(types, values, strict=True)]
    except (binascii.Error, ValueError, TypeError, AttributeError, OverflowError):
        raise InvalidCursor from None


def _integer(value: Any) -> int:
    if type(value) is not int or not -_LARGEST <= value <= _LARGEST:
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
    return hashlib.blake2s(kind.encode() + b"\0" + body, digest_size=_DIGEST).digest()
