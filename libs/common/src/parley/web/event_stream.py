"""Data lines of server-sent events."""

_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))
"""U+2028, U+2029 and U+0085 in UTF-8, and their JSON escapes."""


def one_line(data: bytes) -> bytes:
    """Return JSON without characters at which some clients split lines, although server-sent events do not."""
    if data.isascii():
        return data
    for character, escape in _LINE_ENDS:
        if character in data:
            data = data.replace(character, escape)
    return data
