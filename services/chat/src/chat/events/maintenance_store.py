"""Interface of the store for reconciliation and retention."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class UnconfirmedTurn:
    """An ended turn that history has not confirmed."""

    turn_id: UUID
    finished_at: datetime


class MaintenanceStore(Protocol):
    """Confirms, republishes and purges ended turns. Every method raises DependencyUnavailable."""

    async def claim_run(self, name: str, interval: float) -> bool:
        """Return whether the caller runs a task that no replica has begun within ``interval`` seconds."""
        ...

    async def unconfirmed(
        self, after: UnconfirmedTurn | None, *, older_than: float, limit: int
    ) -> list[UnconfirmedTurn]:
        """Return a page of unconfirmed turns that ended more than ``older_than`` seconds ago, oldest first."""
        ...

    async def confirm(self, turn_ids: Collection[UUID]) -> None:
        """Mark turns as confirmed by history."""
        ...

    async def republish(self, turn_ids: Collection[UUID], *, older_than: float) -> int:
        """Republish events of turns that were sent more than ``older_than`` seconds ago; returns their number."""
        ...

    async def purge(self, *, turns: float, events: float) -> int:
        """Delete a batch of confirmed turns and events older than these seconds; returns the number of rows."""
        ...
