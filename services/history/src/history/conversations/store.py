"""Storage interface of conversations."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from history.conversations.schemas import Archived, Conversation, ConversationDeletion, ConversationOwnerResponse
from parley_events.models import ConversationDeleted

ListPosition: TypeAlias = tuple[datetime, UUID]
"""The ``updated_at`` and the ID of a conversation in a list."""


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """The conversations to list: one user's, by archive flag and by a part of the title."""

    user_id: UUID
    archived: Archived = "false"
    title_part: str | None = None


class LockedConversation(Protocol):
    """A conversation in an open transaction that holds its owner's lock."""

    conversation: Conversation

    async def newest_answer(self, message_id: UUID) -> UUID | None:
        """Return the newest answer to a message, the message itself without one; None if it does not exist."""
        ...

    async def update(self, changed: dict[str, Any]) -> Conversation:
        """Store the changed members and the ``conversation.updated`` event; return the new conversation."""
        ...

    async def delete(self, event: ConversationDeleted) -> None:
        """Hide the conversation, insert its tombstone, and store the event."""
        ...


class ConversationStore(Protocol):
    """Conversations by owner."""

    async def find(self, user_id: UUID, conversation_id: UUID) -> Conversation | None:
        """Return the user's conversation, or None when it does not exist or is deleted."""
        ...

    async def page(self, wanted: ConversationFilter, after: ListPosition | None, limit: int) -> list[Conversation]:
        """Return up to ``limit`` conversations, newest update first. Ignores ``title_part``."""
        ...

    async def position(self, wanted: ConversationFilter, after: ListPosition | None, ahead: int) -> ListPosition | None:
        """Return the position so many conversations after another one, or None behind the end."""
        ...

    async def titled(
        self, wanted: ConversationFilter, after: ListPosition | None, until: ListPosition | None, limit: int
    ) -> list[Conversation]:
        """Return up to ``limit`` conversations whose title matches, newest update first, down to ``until``."""
        ...

    def lock(self, user_id: UUID, conversation_id: UUID) -> AbstractAsyncContextManager[LockedConversation | None]:
        """Lock the user's conversation in a transaction that commits at the end of the context."""
        ...

    async def create(self, user_id: UUID, conversation_id: UUID, metadata: dict[str, str]) -> bool:
        """Store an empty conversation and ``conversation.created``; False if the ID is in use or the user erased."""
        ...

    async def ids(self, user_id: UUID, after: UUID | None, limit: int) -> list[UUID]:
        """Return up to ``limit`` conversations in the order of their ids, which concurrent updates do not change."""
        ...

    async def deletions(self, after: tuple[datetime, UUID] | None, limit: int) -> list[ConversationDeletion]:
        """Return up to ``limit`` deletions of all users, oldest first, after the given (deleted_at, id)."""
        ...

    async def owner(self, conversation_id: UUID) -> ConversationOwnerResponse | None:
        """Return the owner of a conversation, also of a deleted one, or None when the id was never used."""
        ...
