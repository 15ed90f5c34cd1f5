"""Where a request ends: what is ambiguous about it is refused, because someone behind us could read it otherwise."""

import re

from gateway.proxy.headers import Header
from parley import errors

_HOST = re.compile(rb"[A-Za-z0-9._~:\[\]-]{0,255}\Z")


BEGINNING = 32_768
"""Bytes that must be here (unless the body is shorter) before an upstream is asked: who sends a byte now and then keeps
none of its connections busy."""


class Refused(Exception):
    """This request is answered here and goes no further."""


def has_body(headers: list[Header], version: str) -> bool:
    """Say whether a body follows this head; raises InvalidRequest unless there is one Host and one way to read it."""
    hosts = codings = 0
    length = b"0"
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not _HOST.match(value):
                raise errors.InvalidRequest("The Host is not valid.")
        elif name == b"transfer-encoding":
            codings += 1
            if value.lower() != b"chunked" or version == "1.0":
                raise errors.InvalidRequest("Only the transfer coding `chunked` is accepted.")
        elif name == b"content-length":
            length = value
    if hosts > 1 or (hosts == 0 and version != "1.0"):
        raise errors.InvalidRequest("Exactly one Host is required.")
    return codings > 0 or length.strip(b"0") != b""
