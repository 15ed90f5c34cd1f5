"""Parser of server-sent events, with bounded lines and events."""

from collections.abc import Iterator

MAX_LINE = 1_048_576
MAX_EVENT = 4 * MAX_LINE
BLANK = (b"", b"\r")


class MalformedStream(ValueError):
    """The data is not a valid event stream, or exceeds the size limits."""


class SseParser:
    """Incremental parser: bytes in, ``data`` of events out."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the data of each complete event; raises MalformedStream."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise MalformedStream("a line is too long")
        for line in lines:
            if line.startswith(b"data:"):
                self._add(line)
            elif self._data and line in BLANK:
                data, self._data, self._size = self._data, [], 0
                yield data[0] if len(data) == 1 else b"\n".join(data)

    def _add(self, line: bytes) -> None:
        self._data.append(line[5:].removesuffix(b"\r").removeprefix(b" "))
        self._size += len(line)
        if self._size > MAX_EVENT:
            raise MalformedStream("an event is too long")
