"""A turn at one moment: its row, and its answer up to its newest event."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chat.model import LogEntry, Turn
from chat.running.tool_calls import join_calls
from chat.running.turn_log import TurnLog


@dataclass(frozen=True, slots=True)
class TurnView:
    """A turn and its answer up to ``last_seq``. ``message`` is None before the first token."""

    turn: Turn
    message: str | None
    tool_calls: list[dict[str, Any]] | None
    last_seq: int
    entries: Sequence[LogEntry] = field(default=(), compare=False)

    @classmethod
    def of_row(cls, turn: Turn) -> "TurnView":
        """Return the view of a stored turn that has ended. A failed turn has no answer."""
        message = None if turn.status == "failed" else turn.content or ""
        return cls(turn, message, turn.tool_calls, turn.last_seq, turn.entries)

    @classmethod
    def of_log(cls, log: TurnLog) -> "TurnView":
        """Return the view of a turn with the entries that its readers may see."""
        if not log.turn.running:
            return cls.of_row(log.turn)
        entries = log.entries[: log.shown]
        message = "".join(entry.text for entry in entries) if entries else None
        return cls(log.turn, message, join_calls(entries), log.last_seq, entries)
