"""Interface of the history service."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from chat.model import ToolResult
from chat.past_exchanges import PastExchange


@dataclass(frozen=True, slots=True)
class ConversationOwner:
    """Owner of a conversation, the number of its newest turn, and its newest answer.

    ``chosen_answer`` ends the branch that the user has chosen at ``chosen_at``, unless a newer turn is stored.
    """

    user_id: UUID
    deleted: bool
    last_number: int = 0
    latest_answer: UUID | None = None
    chosen_answer: UUID | None = None
    chosen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RegenerationSource:
    """User message and tool results of an answer that is generated again, and the tool calls of the answer."""

    parent_id: UUID | None
    user_message_id: UUID
    user_message: str
    user_message_at: datetime
    tool_calls: list[dict[str, Any]] | None = None
    tool_results: tuple[ToolResult, ...] = ()
    continues: bool = False
    response: dict[str, Any] | None = None
    """The input, if it is more than the user message and the tool results."""

    @property
    def call_ids(self) -> set[str]:
        """Return the IDs of the tool calls. The calls of an imported answer may be any objects."""
        return {call["id"] for call in self.tool_calls or () if isinstance(call.get("id"), str)}

    def has_calls_of(self, results: Iterable[ToolResult]) -> bool:
        """Tell whether one of the results belongs to a tool call of the answer."""
        return not self.call_ids.isdisjoint(result.tool_call_id for result in results)


@dataclass(frozen=True, slots=True)
class PastBranch:
    """Exchanges of a branch, newest first; ``more`` tells whether there are older ones that do not fit.

    ``has_messages``: the branch exists, even if its messages were deleted.
    """

    exchanges: Sequence[PastExchange] = ()
    more: bool = False
    has_messages: bool = False

    @property
    def exists(self) -> bool:
        """Return whether the answer that the branch ends in exists."""
        return bool(self.exchanges) or self.more or self.has_messages


@dataclass(frozen=True, slots=True)
class CreatedConversation:
    """An empty or existing conversation: whether it is new, its JSON object and its ETag."""

    new: bool
    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class DeletedConversation:
    """Conversation that its owner has deleted."""

    conversation_id: UUID
    user_id: UUID
    deleted_at: datetime


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """Status and content digest of a turn that history has stored; the digest is None without text."""

    status: str
    sha256: str | None


class History(Protocol):
    """Conversations and messages that are older than chat's own turns.

    Each method raises HistoryUnavailable when history does not answer in time. Messages are those of ``user_id`` only.
    """

    async def owner(self, conversation_id: UUID) -> ConversationOwner | None:
        """Return the owner of a conversation, or None if it does not exist."""
        ...

    async def chosen_branch(self, conversation_id: UUID) -> ConversationOwner | None:
        """Return the same as ``owner``, but within the short time that an optional lookup may take."""
        ...

    async def create(
        self, conversation_id: UUID, user_id: UUID, metadata: dict[str, str] | None = None
    ) -> CreatedConversation | None:
        """Create an empty conversation or return the existing one; None if the user cannot have it."""
        ...

    async def exchanges(self, conversation_id: UUID, message_id: UUID, user_id: UUID, *, characters: int) -> PastBranch:
        """Return the exchanges that end in an answer, of at most ``characters`` together."""
        ...

    async def regeneration_source(
        self, conversation_id: UUID, message_id: UUID, user_id: UUID
    ) -> RegenerationSource | None:
        """Return the user message behind an answer, or None if the answer does not exist."""
        ...

    async def known_turns(self, turn_ids: Collection[UUID]) -> set[UUID]:
        """Return those of at most 1,000 turns that history has stored."""
        ...

    async def deletions(self, after: tuple[datetime, UUID] | None, limit: int) -> list[DeletedConversation]:
        """Return up to ``limit`` deletions of all users, oldest first, after the given (deleted_at, id)."""
        ...

    async def digests(self, turn_ids: Collection[UUID]) -> dict[UUID, StoredTurn]:
        """Return the stored status and digest of at most 1,000 turns, by turn."""
        ...
