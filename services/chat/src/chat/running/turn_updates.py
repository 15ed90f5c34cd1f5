"""Updates that a reader of a turn receives, from a log while the turn runs or from its row afterwards."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from chat.model import FIRST_SEQ, LogEntry, Turn
from chat.running.turn_log import TurnLog
from parley.errors import InvalidCursor

FROM_START = 0
"""Cursor of a reader that has received nothing yet."""
MAX_ENTRIES = 500
"""Entries of one delta. Other requests have their turn between the deltas of a long answer."""


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """First update (seq 1)."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class TurnDelta:
    """New entries of the answer; ``seq`` is the sequence number of the first one."""

    seq: int
    entries: Sequence[LogEntry]


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """Last update of an ended turn, with the stored turn."""

    seq: int
    turn: Turn


@dataclass(frozen=True, slots=True)
class StreamIdle:
    """No update arrived within the idle interval. Protocols send a ping."""


@dataclass(frozen=True, slots=True)
class StreamInterrupted:
    """Last update of a stream that ends before its turn. The reader can resume with its cursor."""

    reason: Literal["interrupted", "draining"]
    code: Literal["upstream_error", "finish_pending"] = "upstream_error"
    """``finish_pending``: the answer is complete, but its end is not stored yet."""


TurnUpdate = StreamStarted | TurnDelta | TurnFinished | StreamIdle | StreamInterrupted


class DirectDeltas:
    """The way of new entries to a client past the task of its reader: written at once when the log shows them.

    A protocol sets ``render`` when its stream consists of deltas from there on, and the response sets ``write``, which
    returns False if the client is too slow or gone. The reader yields what was not written.
    """

    __slots__ = ("render", "write")

    def __init__(self) -> None:
        self.render: Callable[[TurnDelta], bytes] | None = None
        self.write: Callable[[bytes], bool] | None = None

    def send(self, delta: TurnDelta) -> bool:
        """Write a delta; False if that is not possible now."""
        render, write = self.render, self.write
        return render is not None and write is not None and write(render(delta))


def check_cursor(after: int, last_seq: int) -> None:
    """Raise InvalidCursor if the cursor is beyond the turn's newest event."""
    if not FROM_START <= after <= last_seq:
        raise InvalidCursor("The cursor does not belong to this turn.")


async def from_log(
    log: TurnLog, after: int, *, idle_after: float, strict: bool = True, direct: DirectDeltas | None = None
) -> AsyncGenerator[TurnUpdate, None]:
    """Yield the updates of a log behind a cursor, and StreamIdle after every ``idle_after`` seconds without one.

    Without ``strict`` a cursor beyond the log waits for it, because a remote log may be behind its origin. Entries that
    ``direct`` sends during a wait are not yielded.
    """

    def send() -> bool:
        nonlocal after
        entries = log.after(after, MAX_ENTRIES)
        if not entries or direct is None or not direct.send(TurnDelta(after + 1, entries)):
            return False
        after += len(entries)
        return len(entries) < MAX_ENTRIES  # the reader yields the rest

    if strict:
        check_cursor(after, log.last_seq)
    with log.reading(idle_after) as reader:
        reader.send = None if direct is None else send
        if after < FIRST_SEQ:
            yield StreamStarted(log.turn)
            after = FIRST_SEQ
        while True:
            entries = log.after(after, MAX_ENTRIES)
            if entries:
                yield TurnDelta(after + 1, entries)
                after += len(entries)
                await _pause_after(entries)
            elif log.state == "ended":
                yield TurnFinished(log.turn.last_seq, log.turn)
                return
            elif log.state != "open":
                yield _interrupted(log)
                return
            elif not await reader.changed():
                yield StreamIdle()


async def _pause_after(entries: Sequence[LogEntry]) -> None:
    """Let other tasks run if there may be more entries."""
    if len(entries) == MAX_ENTRIES:
        await asyncio.sleep(0)


def _interrupted(log: TurnLog) -> StreamInterrupted:
    if log.state == "dismissed":
        return StreamInterrupted("draining")
    return StreamInterrupted("interrupted", "finish_pending" if log.state == "pending" else "upstream_error")


async def from_row(turn: Turn, after: int) -> AsyncGenerator[TurnUpdate, None]:
    """Yield the updates of an ended turn behind a cursor. A cursor at the end repeats the last update."""
    # A runner that was lost may have shown more entries than were stored.
    check_cursor(min(after, turn.last_seq) if turn.log_lost else after, turn.last_seq)
    if after < FIRST_SEQ:
        yield StreamStarted(turn)
        after = FIRST_SEQ
    for start in range(after - FIRST_SEQ, len(turn.entries), MAX_ENTRIES):
        entries = turn.entries[start : start + MAX_ENTRIES]
        yield TurnDelta(FIRST_SEQ + start + 1, entries)
        await _pause_after(entries)
    yield TurnFinished(turn.last_seq, turn)
