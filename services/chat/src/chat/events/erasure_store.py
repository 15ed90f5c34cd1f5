"""What must never come back."""

from datetime import datetime
from typing import Protocol
from uuid import UUID


class ErasureStore(Protocol):
    """What must never come back."""

    async def delete_conversation(self, conversation_id: UUID, user_id: UUID, deleted_at: datetime) -> list[UUID]:
        """Leave a tombstone and blank what is there; returns the turns that still run, to be cancelled."""
        ...

    async def cancel_all(self, user_id: UUID) -> list[UUID]:
        """Ask for the end of a person's running turns; returns them."""
        ...

    async def erase(self, user_id: UUID, erasure_id: str) -> list[tuple[UUID, int]]:
        """Forget a person in one transaction and confirm it; returns ids and epochs of the turns that were running."""
        ...

    async def blank_late_turns(self) -> int:
        """Blank turns that ended after their conversation was deleted; returns of how many conversations."""
        ...
