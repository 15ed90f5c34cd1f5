"""What chat asks history."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from chat.model import PastExchange


@dataclass(frozen=True, slots=True)
class ConversationOwner:
    """Whose conversation history says it is."""

    user_id: UUID
    deleted: bool
    last_number: int = 0


@dataclass(frozen=True, slots=True)
class RegenerationSource:
    """What a regeneration needs of the answer it redoes."""

    parent_id: UUID | None
    user_message_id: UUID
    user_message: str
    user_message_at: datetime


class ConversationOwners(Protocol):
    """Who owns a conversation that chat has never seen."""

    async def owner(self, conversation_id: UUID) -> ConversationOwner | None:
        """Return the owner, None when there is no such conversation; raises HistoryUnavailable."""
        ...


class PastMessages(Protocol):
    """What is older than chat's own turns; asked with the caller's token."""

    async def latest_answer(self, conversation_id: UUID, token: str) -> UUID | None:
        """Return the newest answer of a conversation; raises HistoryUnavailable."""
        ...

    async def exchanges(self, conversation_id: UUID, message_id: UUID, token: str) -> list[PastExchange]:
        """Return the exchanges from an answer back to the root, newest first; empty when there is no such answer.

        Raises HistoryUnavailable, also when it takes too long.
        """
        ...

    async def redo(self, conversation_id: UUID, message_id: UUID, token: str) -> RegenerationSource | None:
        """Return what it takes to redo an answer, None when there is none; raises HistoryUnavailable."""
        ...


class KnownTurns(Protocol):
    """What history says that it has."""

    async def known(self, turn_ids: list[UUID]) -> set[UUID]:
        """Return which of at most 1,000 turns history has stored; raises HistoryUnavailable."""
        ...
