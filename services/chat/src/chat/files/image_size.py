"""Width and height of images, read from their headers. No image is decoded."""

import struct
from collections.abc import Callable

from parley.errors import InvalidRequest
from parley.field_errors import FieldError

MAX_HEADER = 262_144
"""Bytes of an image in which its width and height must be."""
MAX_SIDE = 16_384
MAX_PIXELS = 50_000_000
"""Bounds of an image: its decoder needs four bytes for each pixel, however few bytes the file has."""
MAX_SEGMENTS = 1000
"""Parts of a JPEG before its size. A photo has a few dozen; a header of nothing else would take long to read."""
_MARKER = 0xFF
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""

Size = tuple[int, int]


def image_size(media_type: str, head: bytes | bytearray) -> Size | None:
    """Return width and height of an image; None if ``head`` does not have them."""
    try:
        return _READERS[media_type](bytes(head))
    except (struct.error, IndexError):
        return None


def require_decodable(size: Size | None, pointer: str = "/file") -> None:
    """Raise InvalidRequest for an image without a size, or with one that is too large to decode."""
    if size is None or min(size) < 1:
        raise InvalidRequest(errors=[FieldError(pointer, "invalid_image", "The image has no valid width and height.")])
    if max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
        detail = f"The image is too large: at most {MAX_SIDE} pixels a side and {MAX_PIXELS} in all."
        raise InvalidRequest(errors=[FieldError(pointer, "image_too_large", detail)])


def _png(head: bytes) -> Size | None:
    if head[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", head, 16)
    return width, height


def _gif(head: bytes) -> Size | None:
    width, height = struct.unpack_from("<HH", head, 6)
    return width, height


def _webp(head: bytes) -> Size | None:
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(_bytes(head, 24, 3), "little"), 1 + int.from_bytes(_bytes(head, 27, 3), "little")
    if kind == b"VP8L":
        bits = int.from_bytes(_bytes(head, 21, 4), "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _bytes(head: bytes, start: int, length: int) -> bytes:
    found = head[start : start + length]
    if len(found) < length:
        raise IndexError
    return found


def _jpeg(head: bytes) -> Size | None:
    position = 2
    for _ in range(MAX_SEGMENTS):
        if head[position] != _MARKER:
            return None
        marker = head[position + 1]
        if marker == _MARKER:  # fill bytes
            position += 1
        elif marker in _JPEG_ALONE:
            position += 2
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", head, position + 5)
            return width, height
        else:
            (length,) = struct.unpack_from(">H", head, position + 2)
            position += 2 + length
    return None


_READERS: dict[str, Callable[[bytes], Size | None]] = {
    "image/png": _png,
    "image/gif": _gif,
    "image/webp": _webp,
    "image/jpeg": _jpeg,
}
