"""Gaps: events that a deleted or overflowing queue has lost, found by ``ce-sequence``, and events that left the log."""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from parley_events.cloudevents import CloudEvent

log = logging.getLogger(__name__)

MAX_KEYS = 100_000
"""Keys whose last sequence is kept in memory; the ones seen longest ago are forgotten."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing events: the sequences ``first`` to ``last`` of a source and a key.

    ``after`` is the time of the event before the gap, if this process has seen it. With ``of_log``, they are offsets of
    events of any key that the log has deleted: ``source`` is the name of the log, and ``key`` is empty.
    """

    source: str
    key: str
    first: int
    last: int
    after: datetime | None = None
    of_log: bool = False

    @property
    def size(self) -> int:
        """The number of missing events."""
        return self.last - self.first + 1


class SequenceStore(Protocol):
    """Keeps the last handled sequence of each source and key over restarts."""

    async def last_sequence(self, source: str, key: str) -> int | None:
        """Return the last sequence that was saved, or None."""
        ...

    async def save_sequence(self, source: str, key: str, sequence: int) -> None:
        """Keep a sequence, unless a higher one is kept already."""
        ...


OnGap: TypeAlias = Callable[[Gap], Awaitable[None]]


def log_gap(gap: Gap) -> None:
    """Log a gap as a warning."""
    extra = {"source": gap.source, "key": gap.key, "first": gap.first, "last": gap.last}
    log.warning("events_missing", extra=extra)


class GapDetector:
    """Calls ``on_gap`` before the event that shows a gap is handled."""

    def __init__(self, on_gap: OnGap | None, store: SequenceStore | None = None) -> None:
        self._on_gap, self._store = on_gap, store
        self._last: OrderedDict[tuple[str, str], tuple[int, datetime | None]] = OrderedDict()

    async def check(self, event: CloudEvent) -> None:
        """Report the gap before an event, if there is one. Repeated deliveries show none."""
        if self._on_gap is None:
            return
        place = (event.source, event.partition_key)
        last, after = self._last.get(place) or (await self._load(*place), None)
        if last is not None and event.sequence <= last:
            return
        if last is not None and event.sequence > last + 1:
            gap = Gap(*place, last + 1, event.sequence - 1, after)
            log_gap(gap)
            await self._on_gap(gap)
        self._remember(place, event)

    def pass_over(self, event: CloudEvent) -> None:
        """Go on behind a dead letter, also if its gap could not be filled: the next event does not show it again."""
        place = (event.source, event.partition_key)
        if self._on_gap is not None and event.sequence > self._last.get(place, (0, None))[0]:
            self._remember(place, event)

    async def note_handled(self, event: CloudEvent) -> None:
        """Keep the sequence of a handled event."""
        if self._on_gap is not None and self._store is not None:
            await self._store.save_sequence(event.source, event.partition_key, event.sequence)

    def _remember(self, place: tuple[str, str], event: CloudEvent) -> None:
        self._last[place] = (event.sequence, event.time)
        self._last.move_to_end(place)
        if len(self._last) > MAX_KEYS:
            self._last.popitem(last=False)

    async def _load(self, source: str, key: str) -> int | None:
        return None if self._store is None else await self._store.last_sequence(source, key)
