"""Interface of the store for deletions and erasures."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID


class TurnErasureStore(Protocol):
    """Deletes conversations and users for good, also if their events arrive before the turns.

    Every method raises DependencyUnavailable.
    """

    async def delete_conversation(self, conversation_id: UUID, user_id: UUID, deleted_at: datetime) -> list[UUID]:
        """Mark a conversation as deleted and blank its content; returns its running turns, which must be cancelled."""
        ...

    async def cancel_all(self, user_id: UUID) -> list[UUID]:
        """Request the cancellation of a user's running turns; returns them."""
        ...

    async def erase(self, user_id: UUID, erasure_id: str) -> list[tuple[UUID, int]]:
        """Erase a user and publish the confirmation atomically; returns ID and epoch of the turns that were running."""
        ...

    async def not_deleted(self, conversation_ids: Collection[UUID]) -> set[UUID]:
        """Return the conversations of this list that are not marked as deleted."""
        ...

    async def deletions_compared_until(self) -> datetime | None:
        """Return until when deletions were compared with history, or None."""
        ...

    async def record_comparison(self, until: datetime) -> None:
        """Record until when deletions were compared with history."""
        ...

    async def blank_late_turns(self) -> int:
        """Blank turns that ended after their conversation was deleted; returns the number of conversations."""
        ...
