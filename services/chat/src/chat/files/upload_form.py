"""Multipart forms, parsed while they arrive: at most one piece of the body is held."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from chat.files.model import MAX_FILE_BYTES
from parley.errors import InvalidRequest, UnsupportedMediaType
from parley.field_errors import FieldError

MULTIPART = "multipart/form-data"
MAX_FORM_BYTES = MAX_FILE_BYTES + 1_048_576
"""Bytes of the largest file with the form around it. Plans set a limit of their own."""
MAX_FIELDS = 8
"""Parts of a form, with the file."""
MAX_FIELD_BYTES = 1024
MAX_PART_HEADERS = 8
MAX_PART_HEADER_BYTES = 4096
MAX_BOUNDARY = 70
MAX_FILENAME = 255
_FALLBACK_NAME = "file"


@dataclass(frozen=True, slots=True)
class FileStarted:
    """The file begins."""

    filename: str


@dataclass(frozen=True, slots=True)
class FileData:
    """The next bytes of the file."""

    data: bytes


@dataclass(frozen=True, slots=True)
class FormField:
    """A field that is not a file."""

    name: str
    value: str


FormEvent = FileStarted | FileData | FormField


def boundary_of(content_type: str) -> bytes:
    """Return the boundary of a form; raises UnsupportedMediaType and InvalidRequest."""
    media_type, options = parse_options_header(content_type)
    if media_type.decode("latin-1").strip().lower() != MULTIPART:
        raise UnsupportedMediaType(MULTIPART)
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= MAX_BOUNDARY:
        raise InvalidRequest("The form needs a `boundary` of 1 to 70 characters in its Content-Type.")
    return boundary


def safe_filename(given: str) -> str:
    """Return the last part of a name without control characters. A path of the client means nothing here."""
    last = given.replace("\\", "/").rpartition("/")[2]
    printable = "".join(character for character in last if character.isprintable()).strip()
    return printable[:MAX_FILENAME] if printable.strip(".") else _FALLBACK_NAME


class _Parts:
    """Callbacks of the parser. ``take`` returns what the last piece of the body contained."""

    def __init__(self) -> None:
        self._events: list[FormEvent] = []
        self._header, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._name, self._is_file, self._has_file, self._count = "", False, False, 0
        self._field = bytearray()
        self.ended = False

    def take(self) -> list[FormEvent]:
        events, self._events = self._events, []
        return events

    def on_part_begin(self) -> None:
        self._count += 1
        if self._count > MAX_FIELDS:
            raise _invalid("", "too_long", f"At most {MAX_FIELDS} parts.")
        self._disposition, self._field = b"", bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        self._is_file = self._name == "file"
        if self._is_file and (self._has_file or filename is None):
            raise _invalid("/file", "exactly_one", "Send one file, with a file name.")
        if self._is_file and filename is not None:
            self._has_file = True
            self._events.append(FileStarted(safe_filename(filename.decode("utf-8", "replace"))))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._events.append(FileData(data[start:end]))
            return
        self._field += data[start:end]
        if len(self._field) > MAX_FIELD_BYTES:
            raise _invalid("", "too_long", f"A field has at most {MAX_FIELD_BYTES} bytes.")

    def on_part_end(self) -> None:
        if not self._is_file:
            self._events.append(FormField(self._name, self._field.decode("utf-8", "replace")))

    def on_end(self) -> None:
        self.ended = True


async def read_form(body: AsyncIterator[bytes], boundary: bytes) -> AsyncGenerator[FormEvent, None]:
    """Yield the parts of a form; raises InvalidRequest for one that is malformed or ends early."""
    parts = _Parts()
    callbacks = {name: getattr(parts, name) for name in vars(_Parts) if name.startswith("on_")}
    parser = MultipartParser(
        boundary,
        callbacks,  # type: ignore[arg-type]
        max_header_count=MAX_PART_HEADERS,
        max_header_size=MAX_PART_HEADER_BYTES,
    )
    async for piece in body:
        try:
            parser.write(piece)
        except FormParserError:
            raise InvalidRequest("The multipart form is malformed.") from None
        for event in parts.take():
            yield event
    if not parts.ended:
        raise InvalidRequest("The multipart form ends before its last boundary.")


def _invalid(pointer: str, code: str, detail: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer, code, detail)])
