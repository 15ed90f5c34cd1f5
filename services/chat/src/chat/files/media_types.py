"""Media type of a file by its content, decided while the file is received."""

import codecs
import re

from chat.file_errors import UnsupportedFile
from chat.files.image_size import MAX_HEADER, image_size, require_decodable
from chat.files.model import IMAGE_TYPES
from chat.token_estimate import estimate

PDF, TEXT = "application/pdf", "text/plain"
SIGNATURE_LENGTH = 32
"""Bytes that decide the type."""
_SIGNATURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"%PDF-"), PDF),
)
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")


def type_of(head: bytes) -> str:
    """Return the type that the first bytes of a file show."""
    return next((media_type for signature, media_type in _SIGNATURES if signature.match(head)), TEXT)


def is_text(data: bytes) -> bool:
    """Tell whether data is a text in UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return not _CONTROLS.search(data)


class MediaTypeDetector:
    """Reads a file once, piece by piece. Holds at most the header of an image."""

    def __init__(self) -> None:
        self._held: bytearray | None = bytearray()
        self._type: str | None = None
        self._next_check = SIGNATURE_LENGTH
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._tokens = 0

    def feed(self, data: bytes) -> None:
        """Read a piece; raises UnsupportedFile, and InvalidRequest for an image that is too large to decode."""
        if self._held is None:
            self._read_text(data)
            return
        self._held += data if self._type is None else data[: MAX_HEADER - len(self._held)]
        if len(self._held) >= self._next_check:
            self._check()

    @property
    def text_tokens(self) -> int | None:
        """Return the estimated tokens of a text; None for other types."""
        return self._tokens if self._type == TEXT else None

    def finish(self) -> str:
        """Return the type; raises UnsupportedFile and InvalidRequest."""
        if self._type is None:
            self._check()
        assert self._type is not None
        if self._held is not None:
            require_decodable(image_size(self._type, self._held))
        self._read_text(b"", final=True)
        return self._type

    def _check(self) -> None:
        """Decide the type, then find the size of an image. Repeated when twice as much of its header is there."""
        assert self._held is not None
        if self._type is None:
            self._type = type_of(bytes(self._held))
            if self._type not in IMAGE_TYPES:
                text, self._held = bytes(self._held), None
                self._read_text(text)
                return
        size = image_size(self._type, self._held)
        if size is not None or len(self._held) >= MAX_HEADER:
            require_decodable(size)
            self._held = None
        self._next_check = min(2 * len(self._held or b""), MAX_HEADER)

    def _read_text(self, data: bytes, *, final: bool = False) -> None:
        if self._type != TEXT:
            return
        try:
            self._tokens += estimate(self._decoder.decode(data, final))
        except UnicodeDecodeError:
            raise UnsupportedFile from None
        if _CONTROLS.search(data):
            raise UnsupportedFile
