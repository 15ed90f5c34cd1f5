"""Interface of the store for deletions and erasures."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID


class TurnErasureStore(Protocol):
    """Deletes conversations and users for good, also if their events arrive before the turns.

    Every method raises DependencyUnavailable. ``blank_conversation``, ``blank_deleted_conversations`` and ``erase``
    also raise it after a while if they have not finished: the next call continues.
    """

    async def delete_conversation(self, conversation_id: UUID, user_id: UUID, deleted_at: datetime) -> list[UUID]:
        """Mark a conversation as deleted; returns its running turns, which must be cancelled."""
        ...

    async def blank_conversation(self, conversation_id: UUID) -> None:
        """Blank the content of a deleted conversation. Safe to repeat."""
        ...

    async def cancel_all(self, user_id: UUID) -> list[UUID]:
        """Request the cancellation of a user's running turns; returns them."""
        ...

    async def end_turns(self, user_id: UUID) -> list[tuple[UUID, int]]:
        """Refuse new turns of an erased user, and end running ones; returns ID and epoch of each that was ended.

        Some may still run, until an empty list is returned.
        """
        ...

    async def erase(self, user_id: UUID, erasure_id: str) -> None:
        """Erase a user whose turns have ended. When nothing is left, publish the confirmation. Safe to repeat."""
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

    async def blank_deleted_conversations(self) -> None:
        """Blank the turns that ended after their conversation was deleted."""
        ...
