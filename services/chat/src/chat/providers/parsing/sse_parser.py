"""Parser of server-sent events, with bounded lines and events."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_LINE = 1_048_576
MAX_EVENT = 4 * MAX_LINE
BOM = b"\xef\xbb\xbf"
EVENT_START, EVENT_END = b"data: ", b"\n\n"
"""How most servers write an event whose data is one line."""


class ProviderEvent(NamedTuple):
    """An event: its name, empty for most, and its data."""

    name: bytes
    data: bytes


class SseParser:
    """Incremental parser: bytes in, events out. Lines end with LF, CRLF or CR.

    A line or an event that is too long is dropped; then ``damaged`` is true.
    """

    def __init__(self) -> None:
        self.damaged = False
        self._buffer = bytearray()
        self._skip_line = self._after_cr = False
        self._at_start = True
        self._data: list[bytes] = []
        self._name, self._size = b"", 0

    @property
    def is_between_events(self) -> bool:
        """Whether an event begins with the next byte. False before the first event."""
        held = self._buffer or self._data or self._name or self._skip_line or self._after_cr
        return not (held or self._at_start)

    def feed(self, chunk: bytes) -> Iterable[ProviderEvent]:
        """Return each event that ends in this chunk."""
        if self._is_one_event(chunk):
            return (ProviderEvent(b"", chunk[len(EVENT_START) : -len(EVENT_END)]),)
        return self._events(chunk)

    def _is_one_event(self, chunk: bytes) -> bool:
        """Tell whether a chunk is one event with one line, as most are when tokens arrive one by one."""
        return (
            chunk.startswith(EVENT_START)
            and chunk.endswith(EVENT_END)
            and chunk.count(b"\n") == 2  # noqa: PLR2004 - both are the end
            and len(chunk) <= MAX_LINE
            and b"\r" not in chunk
            and self.is_between_events
        )

    def _events(self, chunk: bytes) -> Iterator[ProviderEvent]:
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_line_feeds(chunk)
        if b"\n" not in chunk:
            self._hold(chunk)
            return
        *lines, rest = chunk.split(b"\n")
        if self._buffer or self._skip_line or self._at_start:
            lines[0] = self._first_line(lines[0])
        for line in lines:
            if line.startswith(b"data:"):
                self._add(line[5:].removeprefix(b" "))
            elif line:
                self._read_name(line)
            elif self._data:
                yield self._event()
                self._reset()
            else:
                self._reset()
        self._hold(rest)

    def finish(self) -> Iterable[ProviderEvent]:
        """Return the last event if its blank line is missing."""
        return self.feed(b"\n\n")

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _first_line(self, end: bytes) -> bytes:
        """Return the line whose beginning came with earlier chunks."""
        if self._skip_line:
            self._skip_line = False
            return b":"
        line = bytes(self._buffer) + end if self._buffer else end
        self._buffer.clear()
        if self._at_start:
            self._at_start = False
            return line.removeprefix(BOM)
        return line

    def _hold(self, part: bytes) -> None:
        if self._skip_line or not part:
            return
        self._buffer += part
        if len(self._buffer) > MAX_LINE:
            self._buffer.clear()
            self._skip_line = self.damaged = True

    def _read_name(self, line: bytes) -> None:
        if line.startswith(b"event:"):
            self._name = line[6:].strip()

    def _add(self, data: bytes) -> None:
        self._size += len(data) + 1
        if len(data) > MAX_LINE or self._size > MAX_EVENT:
            self._data.clear()
            self.damaged = True
        else:
            self._data.append(data)

    def _event(self) -> ProviderEvent:
        return ProviderEvent(self._name, self._data[0] if len(self._data) == 1 else b"\n".join(self._data))

    def _reset(self) -> None:
        self._data, self._name, self._size = [], b"", 0
