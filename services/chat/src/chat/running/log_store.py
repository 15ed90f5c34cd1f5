"""The copies of running logs."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from chat.model import LogEntry


class LogStoreUnavailable(Exception):
    """The copies of logs cannot be reached right now."""


AppendResult = Literal["appended", "missing", "refused"]
"""``missing``: there is no copy (any more); ``refused``: what it holds is newer than what was to be appended."""


@dataclass(frozen=True, slots=True)
class LogAppend:
    """Entries for one log; None stands for its beginning (seq 1). ``create`` begins a copy."""

    turn_id: UUID
    epoch: int
    seq: int
    entries: Sequence[LogEntry | None]
    create: bool = False


@dataclass(frozen=True, slots=True)
class LogItem:
    """One item of a copy: an entry, the beginning or a seal (None), or the hint that the turn has ended."""

    epoch: int
    seq: int
    entry: LogEntry | None
    end: bool = False


class LogStore(Protocol):
    """The copies of running logs, for readers on other replicas and for recovery. All raise CopyUnavailable."""

    async def append(self, batches: Sequence[LogAppend]) -> list[AppendResult]:
        """Append to many logs in one round trip."""
        ...

    async def mark_ended(self, turn_id: UUID, epoch: int, seq: int) -> None:
        """Hint that a turn has ended, and let its copy go soon."""
        ...

    async def seal(self, turn_id: UUID, epoch: int) -> list[LogItem]:
        """Shut out all lower epochs, then return what they wrote."""
        ...

    async def read(self, turn_id: UUID) -> list[LogItem]:
        """Return the whole copy."""
        ...

    async def newest_position(self, turn_id: UUID) -> tuple[int, int] | None:
        """Return epoch and seq of the newest entry, None without a copy."""
        ...

    async def tail(self, cursors: Mapping[UUID, tuple[int, int]], wait: float) -> dict[UUID, list[LogItem]]:
        """Wait up to ``wait`` seconds for what is behind the cursors of many logs."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...

    async def erase(self, turn_id: UUID, epoch: int) -> None:
        """Replace the copy by a seal, so that a runner which does not know yet writes nothing more."""
        ...

    async def mark_read(self, turn_ids: Collection[UUID], seconds: float) -> None:
        """Note that turns have readers on some replica; it is forgotten after ``seconds``."""
        ...

    async def is_read(self, turn_id: UUID) -> bool:
        """Say whether a turn was marked as read not long ago."""
        ...

    async def publish_cancellation(self, turn_id: UUID) -> None:
        """Tell all replicas that a turn is to end; never raises."""
        ...

    def cancellations(self) -> AsyncGenerator[UUID, None]:
        """Yield the turns that are to end."""
        ...
