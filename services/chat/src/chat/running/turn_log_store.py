"""Interface of the store of replicated turn logs."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

from chat.model import LogEntry


class LogStoreUnavailable(Exception):
    """The log store does not answer."""


AppendResult = Literal["appended", "missing", "refused"]
"""``missing``: the store has no log of the turn; ``refused``: the log already has a later position."""


class LogAppend(NamedTuple):
    """Entries to append to one log from position ``seq``. None is the log's beginning. ``create`` starts the log."""

    turn_id: UUID
    epoch: int
    seq: int
    entries: Sequence[LogEntry | None]
    create: bool = False


class LogEnd(NamedTuple):
    """The end of one log at position ``seq``."""

    turn_id: UUID
    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class LogItem:
    """One item of a stored log: an entry, its beginning or a seal (None), or the end marker (``end``)."""

    epoch: int
    seq: int
    entry: LogEntry | None
    end: bool = False


class LogStore(Protocol):
    """Replicated logs of running turns, for readers on other replicas and for recovery.

    A position is an epoch and a sequence number. Methods raise LogStoreUnavailable.
    """

    async def append(self, batches: Sequence[LogAppend]) -> list[AppendResult]:
        """Append to several logs in one round trip."""
        ...

    async def mark_ended(self, ends: Sequence[LogEnd]) -> None:
        """Mark logs as ended and let them expire soon, in one round trip."""
        ...

    async def seal(self, turn_id: UUID, epoch: int) -> list[LogItem]:
        """Refuse further appends of lower epochs, and return the items that they wrote."""
        ...

    async def read(self, turn_id: UUID) -> list[LogItem]:
        """Return all items of a log."""
        ...

    async def newest_position(self, turn_id: UUID) -> tuple[int, int] | None:
        """Return the position of the newest item, None without a log."""
        ...

    async def tail(self, cursors: Mapping[UUID, tuple[int, int]], wait: float) -> dict[UUID, list[LogItem]]:
        """Return new items behind the positions of several logs, waiting up to ``wait`` seconds for the first."""
        ...

    async def ping(self) -> None:
        """Return if the store answers."""
        ...

    async def erase(self, turn_id: UUID, epoch: int) -> None:
        """Replace a log by a seal, so that its runner can append no more."""
        ...

    async def mark_read(self, turn_ids: Collection[UUID], seconds: float) -> None:
        """Mark turns as having readers for some seconds."""
        ...

    async def is_read(self, turn_id: UUID) -> bool:
        """Tell whether a turn is marked as having readers."""
        ...

    async def publish_cancellation(self, turn_id: UUID) -> None:
        """Notify all replicas of a cancellation; never raises."""
        ...

    def cancellations(self) -> AsyncGenerator[UUID, None]:
        """Yield the turns whose cancellation is published."""
        ...
