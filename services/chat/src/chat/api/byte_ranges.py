"""Ranges of bytes of a download (RFC 9110, 14): one range, as browsers and download managers send it."""

import re

from chat.file_errors import RangeNotSatisfiable

_RANGE = re.compile(r"bytes=\s*(?:([0-9]{1,19})-([0-9]{0,19})|-([0-9]{1,19}))\s*\Z", re.IGNORECASE)


def requested_range(given: str | None, if_range: str | None, *, etag: str, size: int) -> range | None:
    """Return the bytes that a request asks for, None for all; raises RangeNotSatisfiable.

    ``if_range``: the range is wanted only of the content with this ETag. Other units, several ranges and malformed
    headers ask for all bytes.
    """
    match = _RANGE.match(given or "")
    if match is None or (if_range is not None and if_range != etag):
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, stop = max(0, size - int(suffix)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise RangeNotSatisfiable(size)
    return range(start, stop)
