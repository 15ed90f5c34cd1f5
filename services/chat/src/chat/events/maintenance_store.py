"""What is done each minute to the rows."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class UnconfirmedTurn:
    """An ended turn of which history has not been heard."""

    turn_id: UUID
    finished_at: datetime


class MaintenanceStore(Protocol):
    """What is done each minute to the rows."""

    async def unconfirmed(
        self, after: UnconfirmedTurn | None, *, older_than: float, limit: int
    ) -> list[UnconfirmedTurn]:
        """Return a page of ended turns that nobody has confirmed, oldest first."""
        ...

    async def confirm(self, turn_ids: Collection[UUID]) -> None:
        """Note that history has these turns."""
        ...

    async def republish(self, turn_ids: Collection[UUID], *, older_than: float) -> int:
        """Publish the events of turns again that were sent more than some seconds ago; returns how many."""
        ...

    async def purge(self, *, turns: float, events: float) -> int:
        """Delete a batch of what is confirmed and older than these seconds; returns how many rows."""
        ...
