"""Interface for looking up stored turns."""

from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from history.turns.schemas import TurnDigest


class TurnLookup(Protocol):
    """Lookups of turns, including turns that are stored without their text."""

    async def has_ended(self, user_id: UUID, conversation_id: UUID, turn_id: UUID) -> bool:
        """Return whether the terminal event of a turn in the user's conversation is stored."""
        ...

    async def known(self, turn_ids: Collection[UUID]) -> list[UUID]:
        """Return the turns that need not be published again: stored with their end, or not to be stored at all."""
        ...

    async def digests(self, turn_ids: Collection[UUID]) -> dict[UUID, TurnDigest]:
        """Return the digests of the turns that are stored."""
        ...
