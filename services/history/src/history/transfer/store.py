"""Storage interface of imports."""

from typing import Protocol
from uuid import UUID

from history.transfer.drafts import ConversationDraft


class ConversationNotStorable(Exception):
    """The database refuses a value of the conversation, so it can never be stored."""


class ImportStore(Protocol):
    """Stores imported conversations."""

    async def claim_key(self, user_id: UUID, key: str, digest: bytes) -> bool:
        """Bind an idempotency key to the digest of a file; return False when it is bound to another digest."""
        ...

    async def imported_bytes(self, user_id: UUID) -> int:
        """Return the bytes that the user's imported conversations count together, until they are purged."""
        ...

    async def is_known(self, conversation_id: UUID) -> bool:
        """Tell whether a conversation with this id exists, or existed and was deleted."""
        ...

    async def store(
        self, user_id: UUID, draft: ConversationDraft, conversation_id: UUID, counted_bytes: int
    ) -> tuple[str | None, bool]:
        """Store a conversation whose messages are sorted parents first; return its title, and whether it is new.

        A known conversation is left unchanged. Raises ConversationNotStorable.
        """
        ...
