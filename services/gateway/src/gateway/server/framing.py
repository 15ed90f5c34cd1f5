"""Request framing rules: requests that another server could read differently are rejected (request smuggling)."""

import re

from gateway.http import Header
from parley import errors
from parley.web.http_protocol import VERSIONS
from parley.web.request_heads import CHUNKED

MIN_BODY_PREFIX = 32_768
"""Body bytes to receive (or the whole body) before the request is forwarded, so that slow clients hold no upstream
connection."""
HOST = re.compile(rb"[A-Za-z0-9._~:\[\]-]{0,255}\Z")


def body_length(headers: list[Header], version: str) -> int | None:
    """Return the length of the body after the head, or CHUNKED.

    Raise InvalidRequest unless version, Host and body length are unambiguous.
    """
    if version not in VERSIONS:
        raise errors.InvalidRequest("The only supported versions of HTTP are 1.1 and 1.0.")
    hosts = codings = 0
    length = b"0"
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not HOST.match(value):
                raise errors.InvalidRequest("The Host header is not a valid host name.")
        elif name == b"transfer-encoding":
            codings += 1
            if value.lower() != b"chunked" or version == "1.0":
                raise errors.InvalidRequest("The only supported transfer coding is `chunked`, with HTTP/1.1.")
        elif name == b"content-length":
            length = value
    if hosts > 1 or (hosts == 0 and version != "1.0"):
        raise errors.InvalidRequest("Send exactly one Host header.")
    return CHUNKED if codings else int(length)
