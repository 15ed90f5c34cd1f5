"""HTTP header lists and the ASGI callables of one request."""

import functools
import time
from collections.abc import Awaitable, Callable, Iterable
from email.utils import formatdate
from typing import Any

Header = tuple[bytes, bytes]
"""A header field: its name in lower case, and its value."""
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

EMPTY_NAMES: frozenset[bytes] = frozenset()
_KEEP_ALIVE_OR_CLOSE = frozenset({b"keep-alive", b"close"})


def has_header(headers: Iterable[Header], wanted: bytes) -> bool:
    """Return whether a header of that lower-case name is present."""
    for name, _ in headers:  # noqa: SIM110 - any() costs three times as much, on every request
        if name == wanted:
            return True
    return False


def date_header() -> Header:
    """Return the ``Date`` of a response that is made now."""
    return b"date", _date(int(time.time()))


@functools.lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


def connection_options(connection: bytes) -> frozenset[bytes]:
    """Return the header names that a ``Connection`` value limits to this hop."""
    if connection.lower() in _KEEP_ALIVE_OR_CLOSE:
        return EMPTY_NAMES
    return frozenset(token.strip().lower() for token in connection.split(b",")) - {b"close", b"keep-alive", b""}
