"""Log of a running turn, shared by all its readers."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from chat.model import FIRST_SEQ, LogEntry, Turn
from parley.process.timeouts import IdleTimer

NEVER_IDLE = 3600.0
"""Idle interval of readers that ignore idle updates, in seconds."""
LogState = Literal["open", "pending", "ended", "abandoned", "dismissed"]


class TurnLog:
    """Entries of a turn in order. Readers see the first ``shown`` entries only.

    Sequence numbers: the first event is 1, ``entries[0]`` is 2, and the last event follows the last entry.
    """

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.entries: list[LogEntry] = []
        self.shown = 0
        """Number of entries that readers may see."""
        self.state: LogState = "open"
        """``pending``: the answer is complete but not stored yet; ``abandoned``: another runner owns the turn;
        ``dismissed``: this process drains and only reads the log."""
        self.readers: set[LogReader] = set()
        self._followers = 0
        """Number of readers that wait for entries: asked for each entry."""

    def append(self, entry: LogEntry) -> None:
        """Add an entry without showing it."""
        self.entries.append(entry)

    def show(self, count: int) -> None:
        """Show the first ``count`` entries to readers."""
        if count > self.shown:
            self.shown = count
            for reader in self.readers:
                if reader.follows:
                    reader.grown()

    @property
    def is_only_awaited(self) -> bool:
        """Tell whether all readers here wait for the end, and none for entries. False without readers."""
        return not self._followers and bool(self.readers)

    def end(self, turn: Turn) -> None:
        """Close the log with the stored turn and its entries."""
        self.turn, self.state = turn, "ended"
        self.entries = list(turn.entries)
        self.shown = len(self.entries)
        self._wake()

    def abandon(self) -> None:
        """Close the log without an end, because another runner owns the turn."""
        self.state = "abandoned"
        self._wake()

    def dismiss(self) -> None:
        """Close a remote log, so that its readers reconnect to another replica."""
        self.state = "dismissed"
        self._wake()

    def mark_pending(self) -> None:
        """Interrupt the readers, because the end of the turn cannot be stored now."""
        if self.state == "open":
            self.state = "pending"
            self._wake()

    @property
    def last_seq(self) -> int:
        """Return the sequence number of the newest shown event."""
        return self.turn.last_seq if self.state == "ended" else FIRST_SEQ + self.shown

    def after(self, seq: int, limit: int) -> Sequence[LogEntry]:
        """Return the shown entries behind a cursor of at least 1, the first ``limit`` of them."""
        first = seq - FIRST_SEQ
        return self.entries[first : min(first + limit, self.shown)]

    @contextlib.contextmanager
    def reading(self, idle_after: float, *, follows: bool = True) -> Iterator["LogReader"]:
        """Register a reader whose waits last at most ``idle_after`` seconds; entries end them if it ``follows``."""
        reader = LogReader(idle_after, follows=follows)
        self.readers.add(reader)
        self._followers += follows
        try:
            yield reader
        finally:
            self._followers -= follows
            self.readers.discard(reader)
            reader.close()

    async def wait_closed(self) -> None:
        """Wait until the log gets no more entries."""
        with self.reading(NEVER_IDLE, follows=False) as reader:
            while self.state == "open":
                await reader.changed()

    def _wake(self) -> None:
        for reader in self.readers:
            reader.wake()


class LogReader:
    """Waits for changes of a log, at most ``idle_after`` seconds each time."""

    def __init__(self, idle_after: float, *, follows: bool = True) -> None:
        self.follows = follows
        self.send: Callable[[], bool] | None = None
        """Sends the entries that a wait is for, and returns whether it did. The wait then goes on."""
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[bool] | None = None
        self._timer = IdleTimer(idle_after, lambda: self.wake(changed=False))

    async def changed(self) -> bool:
        """Wait for the next change; False if the wait timed out."""
        self._timer.touch()
        self._waiter = self._loop.create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def grown(self) -> None:
        """Send the new entries, or end the current wait."""
        if self.send is None or self._waiter is None or self._waiter.done():
            self.wake()
            return
        try:
            sent = self.send()
        except Exception:  # noqa: BLE001 - the reader fails with it, and not the one who shows entries to all readers
            sent = False
        if sent:
            self._timer.touch()
        else:
            self.wake()

    def wake(self, *, changed: bool = True) -> None:
        """End the current wait."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(changed)

    def close(self) -> None:
        """Stop the timer."""
        self._timer.stop()
