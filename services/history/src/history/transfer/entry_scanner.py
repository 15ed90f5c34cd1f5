"""Scanner that cuts an import file into entries, and counts tokens and levels before anything is parsed.

Tokens are opening brackets, commas and strings. Their number bounds the time to scan a file, and the memory and time to
parse an entry.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parley.errors import ValidationFailed
from parley.field_errors import FieldError

MAX_ENTRIES = 20_000
"""Conversations in a file."""
MAX_FILE_TOKENS = 3_000_000
"""Tokens in a file."""
MAX_ENTRY_TOKENS = 400_000
"""Tokens in one entry. Parsing as many takes up to 50 MiB."""
MAX_PART_TOKENS = 50_000
"""Tokens of an entry outside its containers, or in one element of such a container, such as a message.

They are parsed in one call, which takes up to 10 ms.
"""
MAX_ENTRY_BYTES = 8_388_608
"""Bytes of one entry, which is kept in memory as a whole."""
MAX_DEPTH = 64
"""Levels of brackets in one entry."""

INCOMPLETE = ("invalid_json", "The file does not end with the end of its array.")

_SPACE, _BOM = b" \t\r\n", b"\xef\xbb\xbf"
_PART_DEPTH = 2
_OPEN, _CLOSE, _QUOTE, _COMMA, _END_OF_ARRAY = b"{[", b"}]", ord('"'), ord(","), ord("]")
_TOKEN = re.compile(rb'"[^"]*"|["{}\[\],]')
_TOKEN_OF_LINES = re.compile(rb'"[^"\r\n]*"|["{}\[\],]|[\r\n][ \t\r\n]*')
_LINE_END, _STRING_END, _QUOTATION_MARK = re.compile(rb"[\r\n]"), re.compile(rb'["\r\n]'), re.compile(b'"')


@dataclass(frozen=True, slots=True)
class RawEntry:
    """The JSON text of an entry, or a code and a reason why it is not parsed.

    ``cuts`` are the places of the brackets and commas of the containers inside the entry's own one.
    """

    index: int
    text: bytes
    problem: tuple[str, str] | None = None
    cuts: Sequence[int] = ()


class EntryScanner:
    """Cuts a JSON array at the commas between its elements, or a file of lines at its line ends.

    A JSON file that is not an array is one entry. A byte order mark is skipped. What is no JSON, or follows the end of
    the array, is an entry, too: it cannot be parsed, and the entries before it can.
    """

    _text: bytearray
    _cuts: "array[int]"
    _size: int
    _tokens: int
    _head_tokens: int
    _cut_tokens: int
    _depth: int
    _too_deep: bool
    _long_part: bool

    def __init__(self, *, lines: bool) -> None:
        self._lines, self._array, self._begun, self._closed = lines, False, False, False
        self._pattern = _TOKEN_OF_LINES if lines else _TOKEN
        self._index = self._file_tokens = 0
        self._in_string, self._held = False, b""
        self._start_entry()

    def feed(self, chunk: bytes) -> Iterator[RawEntry]:
        """Yield the entries that end in this chunk; raises ValidationFailed."""
        chunk = self._held + chunk
        if not self._begun and len(chunk) < len(_BOM) and _BOM.startswith(chunk):
            self._held = chunk
            return
        # A backslash at the end escapes the first byte of the next chunk.
        self._held = b"\\" if (len(chunk) - len(chunk.rstrip(b"\\"))) % 2 else b""
        chunk = chunk[: len(chunk) - len(self._held)]
        start = 0 if self._begun or self._lines else self._begin(chunk)
        masked = chunk.replace(b"\\\\", b"__").replace(b'\\"', b"__")
        if not self._begun and not self._lines:
            return
        at = start
        if self._in_string:
            at = self._end_of_string(masked)
        for token in () if self._in_string else self._pattern.finditer(masked, at):
            if self._handle(masked, token, token.start() - start):
                yield from self._end_entry(chunk[start : token.start()])
                start = token.end()
            if self._in_string:
                break
        self._append(chunk[start:])
        if self._file_tokens + self._tokens > MAX_FILE_TOKENS:
            raise _refused(f"Must have at most {MAX_FILE_TOKENS:,} brackets, commas and strings.")

    def finish(self) -> Iterator[RawEntry]:
        """Yield the last entry of a file that is no array, or what is left of an array."""
        # The text of an entry beyond a bound is dropped.
        blank = not (self._text.strip(_SPACE) or self._held or self._problem())
        if not self._array or not (blank or self._closed):
            yield from self._end_entry(self._held)
        elif blank != self._closed:
            yield from self._end_entry(self._held, INCOMPLETE)

    def _begin(self, chunk: bytes) -> int:
        stripped = chunk.removeprefix(_BOM).lstrip(_SPACE)
        self._begun = bool(stripped)
        self._array = stripped.startswith(b"[")
        return len(chunk) - len(stripped) + self._array if self._begun else 0

    def _handle(self, masked: bytes, token: re.Match[bytes], place: int) -> bool:
        """Count a token; return whether an entry ends at it."""
        byte = masked[token.start()]
        if byte in _CLOSE:
            if self._depth == _PART_DEPTH:
                self._cut(place)
            self._depth -= self._depth > 0 or (self._array and byte == _END_OF_ARRAY and not self._closed)
            ended = self._depth < 0
            self._closed = self._closed or ended
            return ended
        self._tokens += 1
        if byte == _QUOTE:
            alone = token.end() - token.start() == 1
            # In a file of lines, the string ends with its line: only that line is broken.
            self._in_string = alone and not (self._lines and _LINE_END.search(masked, token.end()))
        elif byte in _OPEN:
            self._depth += 1
            if self._depth == _PART_DEPTH:
                self._cut(place, begins=True)
            self._too_deep = self._too_deep or self._depth > MAX_DEPTH
        elif byte == _COMMA:
            if self._depth == _PART_DEPTH:
                self._cut(place)
            return self._array and not self._depth and not self._closed
        else:
            return True
        return False

    def _end_of_string(self, masked: bytes) -> int:
        """Return where the scan continues in a chunk that begins in a string."""
        end = (_STRING_END if self._lines else _QUOTATION_MARK).search(masked)
        self._in_string = end is None
        if end is None:
            return 0
        return end.end() if masked[end.start()] == _QUOTE else end.start()

    def _cut(self, place: int, *, begins: bool = False) -> None:
        """Note a place, and count the tokens since the last one: those before a container are outside of any."""
        self._cuts.append(self._size + place)
        part = self._tokens - self._cut_tokens
        self._cut_tokens = self._tokens
        self._head_tokens += part * begins
        self._long_part = self._long_part or max(part, self._head_tokens) > MAX_PART_TOKENS

    def _start_entry(self) -> None:
        self._cuts = array("I")
        self._head_tokens = self._cut_tokens = 0
        self._long_part = False
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
        head_tokens = self._head_tokens if self._depth < _PART_DEPTH else 0
        if self._long_part or head_tokens + self._tokens - self._cut_tokens > MAX_PART_TOKENS:
            return "too_long", f"One part must have at most {MAX_PART_TOKENS:,} brackets, commas and strings."
        return ("too_deep", f"Must have at most {MAX_DEPTH} levels.") if self._too_deep else None

    def _end_entry(self, text: bytes, problem: tuple[str, str] | None = None) -> Iterator[RawEntry]:
        self._append(text)
        self._file_tokens += self._tokens
        text = bytes(self._text).removeprefix(_BOM).lstrip(_SPACE)
        before = len(self._text) - len(text)
        cuts = array("I", [place - before for place in self._cuts]) if before else self._cuts
        entry = RawEntry(self._index, text.rstrip(_SPACE), self._problem() or problem, cuts)
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
