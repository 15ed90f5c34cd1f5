"""The log of a running turn: what its readers see. Any number of cursors, no queue for any of them."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from chat.model import FIRST_SEQ, LogEntry, Turn
from parley.process.timeouts import IdleTimer

LogState = Literal["open", "pending", "ended", "abandoned", "dismissed"]


class TurnLog:
    """Entries in the order of their seq. What is not shown yet no reader may see.

    The event that begins a turn has seq 1, ``entries[0]`` has 2, the event that ends it the one after the last entry.
    """

    def __init__(self, turn: Turn) -> None:
        """Begin the log of a running turn; nothing is shown but its beginning."""
        self.turn = turn
        self.entries: list[LogEntry] = []
        self.shown = 0
        """How many entries readers may see."""
        self.state: LogState = "open"
        """``pending``: the row of a whole answer cannot be written for a while; ``abandoned``: it is another's now;
        ``dismissed``: this process, which only mirrors the log, is about to go."""
        self.readers: set[LogReader] = set()

    def append(self, entry: LogEntry) -> None:
        """Add an entry; it is shown later."""
        self.entries.append(entry)

    def show(self, count: int) -> None:
        """Let readers see the first ``count`` entries."""
        if count > self.shown:
            self.shown = count
            self._wake()

    def end(self, turn: Turn) -> None:
        """Close the log with the row as it was stored."""
        self.turn, self.state = turn, "ended"
        self.entries = list(turn.entries)
        self.shown = len(self.entries)
        self._wake()

    def abandon(self) -> None:
        """Close the log without an end: this process no longer decides about the turn."""
        self.state = "abandoned"
        self._wake()

    def dismiss(self) -> None:
        """Send the readers of a mirrored log to another replica."""
        self.state = "dismissed"
        self._wake()

    def wait_for_store(self) -> None:
        """Tell readers that the end cannot be stored at present."""
        if self.state == "open":
            self.state = "pending"
            self._wake()

    @property
    def last_seq(self) -> int:
        """Return the seq of the newest event that is shown."""
        return self.turn.last_seq if self.state == "ended" else FIRST_SEQ + self.shown

    def after(self, seq: int) -> Sequence[LogEntry]:
        """Return the shown entries behind a cursor (``seq`` of the last event seen, at least 1)."""
        return self.entries[seq - FIRST_SEQ : self.shown]

    @contextlib.contextmanager
    def reading(self, quiet: float) -> Iterator["LogReader"]:
        """Be a reader while the context is entered; ``quiet`` is the most seconds of a wait."""
        reader = LogReader(quiet)
        self.readers.add(reader)
        try:
            yield reader
        finally:
            self.readers.discard(reader)
            reader.close()

    def _wake(self) -> None:
        for reader in self.readers:
            reader.wake()


class LogReader:
    """Waits for changes of a log, each time for at most ``quiet`` seconds."""

    def __init__(self, quiet: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[bool] | None = None
        self._timer = IdleTimer(quiet, lambda: self.wake(changed=False))

    async def changed(self) -> bool:
        """Wait for the next change; False when there was none for a while."""
        self._timer.touch()
        self._waiter = self._loop.create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def wake(self, *, changed: bool = True) -> None:
        """End the wait, if there is one."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(changed)

    def close(self) -> None:
        """Wait no more."""
        self._timer.stop()


class LogCopy(Protocol):
    """Where the entries of running turns are copied; an entry is shown when its copy is safe."""

    def opened(self, log: TurnLog) -> None:
        """Begin the copy of a log."""
        ...

    def grown(self, log: TurnLog) -> None:
        """Copy the entries that a log has got, then show them."""
        ...

    def closed(self, log: TurnLog) -> None:
        """Say that a turn's end is stored: its copy may go soon."""
        ...
