"""Data lines of server-sent events."""

import re

_LINE_END = re.compile(rb"\xe2\x80[\xa8\xa9]|\xc2\x85")
"""U+2028, U+2029 and U+0085 in UTF-8."""


def one_line(data: bytes) -> bytes:
    """Return JSON without characters at which some clients split lines, although server-sent events do not."""
    if data.isascii() or (b"\xe2" not in data and b"\xc2" not in data):
        return data
    return _LINE_END.sub(_escaped, data)


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found.group().decode())
