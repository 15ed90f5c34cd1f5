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

    async def store(self, user_id: UUID, draft: ConversationDraft, conversation_id: UUID) -> tuple[str | None, bool]:
        """Store a conversation whose messages are sorted parents first; return its title, and whether it is new.

        A conversation with this id that exists, or existed and was deleted, is left unchanged. Raises
        ConversationNotStorable.
        """
        ...
