"""Scanner that cuts an import file into entries, and counts tokens and levels before anything is parsed.

Tokens are opening brackets, commas and strings. Their number bounds the time to scan a file, and the memory and time to
parse an entry.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from parley.errors import FieldError, InvalidJson, ValidationFailed

MAX_ENTRIES = 20_000
"""Conversations in a file."""
MAX_FILE_TOKENS = 3_000_000
"""Tokens in a file."""
MAX_ENTRY_TOKENS = 400_000
"""Tokens in one entry. Parsing as many takes up to 50 MiB and 50 ms."""
MAX_ENTRY_BYTES = 8_388_608
"""Bytes of one entry, which is parsed as a whole."""
MAX_DEPTH = 64
"""Levels of brackets in one entry."""

_SPACE = b" \t\r\n"
_OPEN, _CLOSE, _QUOTE, _COMMA = b"{[", b"}]", ord('"'), ord(",")
_TOKEN = re.compile(rb'"[^"]*"|["{}\[\],]')
_TOKEN_OF_LINES = re.compile(rb'"[^"\r\n]*"|["{}\[\],]|[\r\n][ \t\r\n]*')


@dataclass(frozen=True, slots=True)
class RawEntry:
    """The JSON text of an entry, or a code and a reason why it is not parsed."""

    index: int
    text: bytes
    problem: tuple[str, str] | None = None


class EntryScanner:
    """Cuts a JSON array at the commas between its elements, or a file of lines at its line ends.

    A JSON file that is not an array is one entry.
    """

    def __init__(self, *, lines: bool) -> None:
        self._lines, self._array, self._begun, self._closed = lines, False, False, False
        self._pattern = _TOKEN_OF_LINES if lines else _TOKEN
        self._index = self._file_tokens = 0
        self._in_string, self._held = False, b""
        self._too_deep = False
        self._start_entry()

    @property
    def array(self) -> bool:
        """Whether the file is a JSON array. Known after the first byte that is not whitespace."""
        return self._array

    def feed(self, chunk: bytes) -> Iterator[RawEntry]:
        """Yield the entries that end in this chunk; raises ValidationFailed or InvalidJson."""
        chunk = self._held + chunk
        # A backslash at the end escapes the first byte of the next chunk.
        self._held = b"\\" if (len(chunk) - len(chunk.rstrip(b"\\"))) % 2 else b""
        chunk = chunk[: len(chunk) - len(self._held)]
        start = 0 if self._begun or self._lines else self._begin(chunk)
        masked = chunk.replace(b"\\\\", b"__").replace(b'\\"', b"__")
        if not self._begun and not self._lines:
            return
        at = start
        if self._in_string:
            at = masked.find(b'"') + 1
            self._in_string = not at
        for token in () if self._in_string else self._pattern.finditer(masked, at):
            if self._closed:
                raise InvalidJson
            if self._handle(masked, token):
                yield from self._end_entry(chunk[start : token.start()])
                start = token.end()
            if self._in_string:
                break
        self._append(chunk[start:])
        if self._file_tokens + self._tokens > MAX_FILE_TOKENS:
            raise _refused(f"Must have at most {MAX_FILE_TOKENS:,} brackets, commas and strings.")

    def finish(self) -> Iterator[RawEntry]:
        """Yield the last entry; raises InvalidJson when the file ends early."""
        if self._array and (not self._closed or self._text.strip(_SPACE)):
            raise InvalidJson
        if not self._array:
            yield from self._end_entry(self._held)

    def _begin(self, chunk: bytes) -> int:
        stripped = chunk.lstrip(_SPACE)
        self._begun = bool(stripped)
        self._array = stripped.startswith(b"[")
        return len(chunk) - len(stripped) + self._array if self._begun else 0

    def _handle(self, masked: bytes, token: re.Match[bytes]) -> bool:
        """Count a token; return whether an entry ends at it."""
        byte = masked[token.start()]
        if byte in _CLOSE:
            self._depth -= 1
            self._closed = self._array and self._depth < 0
            return self._closed
        self._tokens += 1
        if byte == _QUOTE:
            self._in_string = token.end() - token.start() == 1
        elif byte in _OPEN:
            self._depth += 1
            self._too_deep = self._too_deep or self._depth > MAX_DEPTH
        elif byte == _COMMA:
            return self._array and not self._depth
        else:
            return True
        return False

    def _start_entry(self) -> None:
        self._text, self._size, self._tokens, self._depth, self._too_deep = bytearray(), 0, 0, 0, False

    def _append(self, text: bytes) -> None:
        self._size += len(text)
        if self._problem():
            self._text.clear()
        else:
            self._text += text

    def _problem(self) -> tuple[str, str] | None:
        if self._size > MAX_ENTRY_BYTES:
            return "too_long", f"Must have at most {MAX_ENTRY_BYTES:,} bytes."
        if self._tokens > MAX_ENTRY_TOKENS:
            return "too_long", f"Must have at most {MAX_ENTRY_TOKENS:,} brackets, commas and strings."
        return ("too_deep", f"Must have at most {MAX_DEPTH} levels.") if self._too_deep else None

    def _end_entry(self, text: bytes) -> Iterator[RawEntry]:
        self._append(text)
        self._file_tokens += self._tokens
        entry = RawEntry(self._index, bytes(self._text).strip(_SPACE), self._problem())
        self._start_entry()
        blank = not entry.text and not entry.problem
        if blank and (self._lines or (self._closed and not self._index)):
            return
        self._index += 1
        if self._index > MAX_ENTRIES:
            raise _refused(f"Must have at most {MAX_ENTRIES:,} conversations.")
        yield entry


def _refused(detail: str) -> ValidationFailed:
    return ValidationFailed([FieldError("", "too_long", detail)])
