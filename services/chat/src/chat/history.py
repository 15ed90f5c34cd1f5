"""Interface of the history service."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from chat.model import PastExchange


@dataclass(frozen=True, slots=True)
class ConversationOwner:
    """Owner of a conversation, and the number of its newest turn."""

    user_id: UUID
    deleted: bool
    last_number: int = 0


@dataclass(frozen=True, slots=True)
class RegenerationSource:
    """User message of an answer that is generated again."""

    parent_id: UUID | None
    user_message_id: UUID
    user_message: str
    user_message_at: datetime


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """Status and content digest of a turn that history has stored; the digest is None without text."""

    status: str
    sha256: str | None


class History(Protocol):
    """Conversations and messages that are older than chat's own turns.

    Each method raises HistoryUnavailable when history does not answer in time. ``token`` is the caller's access token.
    """

    async def owner(self, conversation_id: UUID) -> ConversationOwner | None:
        """Return the owner of a conversation, or None if it does not exist."""
        ...

    async def latest_answer(self, conversation_id: UUID, token: str) -> UUID | None:
        """Return the newest answer of a conversation."""
        ...

    async def exchanges(self, conversation_id: UUID, message_id: UUID, token: str) -> Sequence[PastExchange]:
        """Return the exchanges from an answer back to the root, newest first; empty if the answer does not exist."""
        ...

    async def regeneration_source(
        self, conversation_id: UUID, message_id: UUID, token: str
    ) -> RegenerationSource | None:
        """Return the user message behind an answer, or None if the answer does not exist."""
        ...

    async def known_turns(self, turn_ids: Collection[UUID]) -> set[UUID]:
        """Return those of at most 1,000 turns that history has stored."""
        ...

    async def digests(self, turn_ids: Collection[UUID]) -> dict[UUID, StoredTurn]:
        """Return the stored status and digest of at most 1,000 turns, by turn."""
        ...
