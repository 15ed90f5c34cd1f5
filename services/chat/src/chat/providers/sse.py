"""Reading a server-sent event stream: bounded lines, strict UTF-8."""

from collections.abc import Iterator

MAX_LINE = 1_048_576
MAX_EVENT = 4 * MAX_LINE


class MalformedStream(ValueError):
    """What the server sent is no event stream, or more of one than we accept."""


class EventParser:
    """Takes bytes as they come and gives the ``data`` of each event."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the data of the events that are complete now; raises MalformedStream."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise MalformedStream("a line is too long")
        for line in lines:
            event = self._line(line.removesuffix(b"\r"))
            if event is not None:
                yield event

    def _line(self, line: bytes) -> str | None:
        if not line:
            return self._event()
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
            self._size += len(line)
            if self._size > MAX_EVENT:
                raise MalformedStream("an event is too long")
        return None

    def _event(self) -> str | None:
        if not self._data:
            return None
        data, self._data, self._size = b"\n".join(self._data), [], 0
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise MalformedStream("not UTF-8") from error
