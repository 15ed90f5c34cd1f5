"""Reading a turn: a cursor on its log while it runs here, on the row when it has ended."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal

from chat.model import FIRST_SEQ, LogEntry, Turn
from chat.running.turn_log import TurnLog
from parley.errors import InvalidCursor

NOTHING_SEEN = 0


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The turn began (seq 1)."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class TurnDelta:
    """The answer grew; ``seq`` is that of the first of these entries."""

    seq: int
    entries: Sequence[LogEntry]


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The turn ended, as the row says; nothing follows."""

    seq: int
    turn: Turn


@dataclass(frozen=True, slots=True)
class StreamIdle:
    """Nothing happened for a while: time for a ping."""


@dataclass(frozen=True, slots=True)
class StreamInterrupted:
    """This connection cannot go on, but the turn does: come back with the cursor. Nothing follows."""

    reason: Literal["interrupted", "draining"]
    code: Literal["upstream_error", "finish_pending"] = "upstream_error"
    """``finish_pending``: the answer is whole, but its end cannot be stored at present."""


TurnUpdate = StreamStarted | TurnDelta | TurnFinished | StreamIdle | StreamInterrupted


def check_cursor(after: int, last_seq: int) -> None:
    """Raise InvalidCursor when no reader of the turn can have got so far."""
    if not NOTHING_SEEN <= after <= last_seq:
        raise InvalidCursor("This is no cursor of this turn.")


async def from_log(log: TurnLog, after: int, *, quiet: float, strict: bool = True) -> AsyncGenerator[TurnUpdate, None]:
    """Yield what a log shows behind a cursor, to the turn's end; Quiet after each ``quiet`` seconds of silence.

    Not ``strict``: the log may lack what others were shown, so a cursor beyond it waits.
    """
    if strict:
        check_cursor(after, log.last_seq)
    with log.reading(quiet) as reader:
        if after < FIRST_SEQ:
            yield StreamStarted(log.turn)
            after = FIRST_SEQ
        while True:
            entries = log.after(after)
            if entries:
                yield TurnDelta(after + 1, entries)
                after += len(entries)
            elif log.state == "ended":
                yield TurnFinished(log.turn.last_seq, log.turn)
                return
            elif log.state != "open":
                yield _broken(log)
                return
            elif not await reader.changed():
                yield StreamIdle()


def _broken(log: TurnLog) -> StreamInterrupted:
    if log.state == "dismissed":
        return StreamInterrupted("draining")
    return StreamInterrupted("interrupted", "finish_pending" if log.state == "pending" else "upstream_error")


async def from_row(turn: Turn, after: int) -> AsyncGenerator[TurnUpdate, None]:
    """Yield an ended turn behind a cursor; a cursor at its end repeats the last event."""
    # A log that was lost with its runner may have shown more than could be stored.
    check_cursor(min(after, turn.last_seq) if turn.log_lost else after, turn.last_seq)
    if after < FIRST_SEQ:
        yield StreamStarted(turn)
        after = FIRST_SEQ
    rest = turn.entries[after - FIRST_SEQ :]
    if rest:
        yield TurnDelta(after + 1, rest)
    yield TurnFinished(turn.last_seq, turn)
