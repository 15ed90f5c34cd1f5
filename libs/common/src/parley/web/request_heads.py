"""Heads of HTTP requests: the length of the body, and the head of a request whose upgrade the server ignores."""

from collections.abc import Iterable

CHUNKED = None
"""The length of a body in chunks."""


def body_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return the length of the body after a head that the parser has accepted, or CHUNKED."""
    length = 0
    for name, value in headers:
        if name == b"transfer-encoding":
            return CHUNKED
        if name == b"content-length":
            length = int(value)
    return length


def head_without_upgrade(method: bytes, target: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a request head without its ``Upgrade`` fields, which RFC 9110, section 7.8, allows a server to ignore."""
    lines = [b"%b %b HTTP/%b\r\n" % (method, target, version.encode())]
    lines += (b"%b: %b\r\n" % field for field in headers if field[0] != b"upgrade")
    return b"".join(lines) + b"\r\n"
