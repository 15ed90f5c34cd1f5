"""Storage interface of the event feed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from parley_events.cloudevents import CloudEvent


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One position of a user's feed. ``event`` is None when its conversation was deleted."""

    position: int
    event: CloudEvent | None


@dataclass(frozen=True, slots=True)
class FeedBatch:
    """Entries of a feed, and whether the batch ended at one of its bounds: more may follow at once."""

    entries: Sequence[FeedEntry]
    is_full: bool


class FeedStore(Protocol):
    """The events of each user in commit order, at positions without gaps."""

    async def head(self, user_id: UUID) -> int:
        """Return the newest position, or 0 for an empty feed."""
        ...

    async def after(self, user_id: UUID, position: int, limit: int, characters: int) -> FeedBatch:
        """Return entries after a position: up to ``limit``, or to the one that makes them ``characters`` long."""
        ...
