"""gzip for answers that are worth it; never for event streams, nor where an ETag names the exact bytes."""

import zlib

from gateway.proxy.headers import Header
from gateway.request import Request

LEAST = 1400
"""Bytes below which an answer fits into one packet anyway."""
LEVEL = 1
GZIP = 31
"""zlib's way to say: a gzip container."""
_TYPES = (b"application/json", b"application/problem+json", b"application/x-ndjson", b"text/")
_NEVER = (b"text/event-stream",)
_BODILESS = frozenset({204, 206, 304})


class Compressor:
    """Compresses an answer piece by piece."""

    def __init__(self) -> None:
        """Begin."""
        self._zlib = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)

    def feed(self, data: bytes) -> bytes:
        """Take a piece, return what is ready."""
        return self._zlib.compress(data)

    def finish(self, data: bytes) -> bytes:
        """Take the last piece, return all that is left."""
        return self._zlib.compress(data) + self._zlib.flush()


def wanted(request: Request, status: int, headers: list[Header]) -> bool:
    """Say whether the client accepts gzip and the answer suits it."""
    if request.method == "HEAD" or status in _BODILESS or not accepts_gzip(request.found.get(b"accept-encoding", b"")):
        return False
    suits = False
    for name, value in headers:
        if name in {b"content-encoding", b"etag"} or (name == b"cache-control" and b"no-transform" in value):
            return False
        if name == b"content-type":
            suits = value.startswith(_TYPES) and not value.startswith(_NEVER)
    return suits


def accepts_gzip(accepted: bytes) -> bool:
    """Say whether an Accept-Encoding names gzip with a weight that is not 0."""
    for entry in accepted.lower().split(b","):
        coding, _, weight = entry.partition(b";")
        if coding.strip() == b"gzip":
            return weight.strip().removeprefix(b"q=").strip(b"0. ") != b"" or not weight
    return False


def whole(data: bytes, headers: list[Header]) -> tuple[bytes, list[Header]]:
    """Compress a whole answer."""
    packed = Compressor().finish(data)
    return packed, [*_encoded(headers), (b"content-length", b"%d" % len(packed))]


def pieces(headers: list[Header]) -> tuple[Compressor, list[Header]]:
    """Return what compresses an answer piece by piece, and its headers."""
    return Compressor(), _encoded(headers)


def _encoded(headers: list[Header]) -> list[Header]:
    kept = [pair for pair in headers if pair[0] != b"content-length"]
    return [*kept, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
