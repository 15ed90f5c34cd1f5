"""gzip compression of responses, except of event streams and of responses with an ETag."""

import zlib

from gateway.http import Header
from gateway.request import Request

MIN_SIZE = 1400
"""Bytes below which a response fits into one packet, so that compression gains nothing."""
LEVEL = 1
MAX_CODINGS = 20
"""Codings of an ``Accept-Encoding`` that are read."""
_GZIP_CONTAINER = 31
"""The ``wbits`` value with which zlib writes a gzip container."""
_COMPRESSIBLE = (b"application/json", b"application/problem+json", b"application/x-ndjson", b"text/")
_EXCLUDED = (b"text/event-stream",)
_NO_FULL_BODY = frozenset({204, 206, 304})


class Compressor:
    """Compresses a response piece by piece."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP_CONTAINER)

    def feed(self, data: bytes) -> bytes:
        """Compress a piece, and return the output that is ready."""
        return self._zlib.compress(data)

    def finish(self, data: bytes) -> bytes:
        """Compress the last piece, and return the rest of the output."""
        return self._zlib.compress(data) + self._zlib.flush()


def should_compress(request: Request, status: int, headers: list[Header]) -> bool:
    """Return whether the client accepts gzip and the response is suitable. The answer to HEAD is that to GET."""
    if status in _NO_FULL_BODY:
        return False
    if not accepts_gzip(request.used_headers.get(b"accept-encoding", b"")):
        return False
    suitable = False
    for name, value in headers:
        if name in {b"content-encoding", b"etag"} or (name == b"cache-control" and b"no-transform" in value):
            return False
        if name == b"content-length" and int(value) < MIN_SIZE:
            return False
        if name == b"content-type":
            suitable = value.startswith(_COMPRESSIBLE) and not value.startswith(_EXCLUDED)
    return suitable


def accepts_gzip(accept_encoding: bytes) -> bool:
    """Return whether an Accept-Encoding value contains gzip with a weight above 0."""
    for entry in accept_encoding.lower().split(b",", MAX_CODINGS)[:MAX_CODINGS]:
        coding, _, weight = entry.partition(b";")
        if coding.strip() == b"gzip":
            return weight.strip().removeprefix(b"q=").strip(b"0. ") != b"" or not weight
    return False


def compress(data: bytes, headers: list[Header]) -> tuple[bytes, list[Header]]:
    """Return a complete body compressed, and its headers."""
    compressed = Compressor().finish(data)
    return compressed, [*compressed_headers(headers), (b"content-length", b"%d" % len(compressed))]


def compressed_headers(headers: list[Header]) -> list[Header]:
    """Return the headers of a response that is compressed piece by piece."""
    kept = [pair for pair in headers if pair[0] != b"content-length"]
    return [*kept, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
