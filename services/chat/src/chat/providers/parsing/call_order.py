"""Order of an answer's entries: nothing comes between the parts of a tool call, as formats with blocks require."""

from collections.abc import Iterator, Sequence
from typing import Any

from chat.model import LogEntry
from chat.providers.parsing.json_object_end import JsonObjectEnd

MAX_WAITING = 1_048_576
"""Characters of entries that wait for the end of a call. Beyond them, all are sent as they come."""


class CallOrder:
    """Holds back texts and other calls until the arguments of the call that has begun are complete.

    Some servers send several calls in turns, or text between the parts of a call.
    """

    __slots__ = ("_ends", "_room", "_waiting", "open")

    def __init__(self) -> None:
        self.open: int | None = None
        """Index of the call that has begun and whose arguments are an incomplete object."""
        self._ends: dict[int, JsonObjectEnd] = {}
        self._waiting: dict[int | str, list[LogEntry]] = {}
        self._room = MAX_WAITING

    def add(self, entry: LogEntry) -> list[LogEntry]:
        """Return the entries that can be sent now, after a text or a part of the reasoning."""
        if self.open is None:
            return [entry]
        return self._hold("reasoning" if entry.reasoning else "text", entry)

    def add_calls(self, deltas: Sequence[dict[str, Any]]) -> list[LogEntry]:
        """Return the entries that can be sent now, after parts of calls."""
        found: list[LogEntry] = []
        now: list[dict[str, Any]] = []
        for delta in deltas:
            if self.open is not None and delta["index"] != self.open:
                found += self._hold(delta["index"], LogEntry("", (delta,)))
                continue
            now.append(delta)
            self._note(delta)
            if self.open is None and self._waiting:
                found += [LogEntry("", tuple(now)), *self._released()]
                now = []
        return [*found, LogEntry("", tuple(now))] if now else found

    def rest(self) -> list[LogEntry]:
        """Return what still waits at the end of the answer."""
        self.open, waiting = None, self._waiting
        self._waiting = {}
        return [entry for entries in waiting.values() for entry in entries]

    def _hold(self, key: int | str, entry: LogEntry) -> list[LogEntry]:
        self._waiting.setdefault(key, []).append(entry)
        self._room -= entry.length()
        return [] if self._room >= 0 else self.rest()

    def _note(self, delta: dict[str, Any]) -> None:
        end = self._ends.setdefault(delta["index"], JsonObjectEnd())
        end.cut(delta["function"]["arguments"])
        self.open = delta["index"] if end.is_open and self._room >= 0 else None

    def _released(self) -> Iterator[LogEntry]:
        """Yield what waits, in the order of the first entries, until a call is incomplete."""
        while self._waiting and self.open is None:
            for entry in self._waiting.pop(next(iter(self._waiting))):
                yield entry
                for delta in entry.tool_calls:
                    self._note(delta)
