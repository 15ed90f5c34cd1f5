"""Storage interface of messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from history.messages.schemas import BranchResponse, Message

MAX_SIBLING_IDS = 50
"""Entries of ``sibling_ids``: the first ones in creation order."""
MAX_SIBLING_COUNT = 1_000
"""Siblings that ``sibling_count`` counts."""


@dataclass(frozen=True, slots=True)
class BranchQuery:
    """The newest messages of the branch that ends in ``leaf``, of at most ``characters`` together."""

    user_id: UUID
    conversation_id: UUID
    leaf: UUID
    characters: int
    limit: int


@dataclass(frozen=True, slots=True)
class MessagePosition:
    """The position of a message in the creation order of its conversation."""

    number: int
    role: str
    id: UUID


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages, and for how many of the wanted ids they are: the texts of the others were too long together."""

    messages: list[Message]
    read: int


class MessageStore(Protocol):
    """Messages by conversation. The caller has checked who owns the conversation, except for ``branch``.

    ``fetch`` and ``tree`` return nothing of a deleted conversation.
    """

    async def branch(self, wanted: BranchQuery) -> BranchResponse:
        """Return messages from ``leaf`` towards the root, until the next one would exceed a bound.

        Empty when the leaf does not exist, or its conversation is deleted or belongs to another user.
        """
        ...

    async def path(self, conversation_id: UUID, leaf: UUID, stop: UUID | None, limit: int | None) -> list[UUID]:
        """Return the ids from ``leaf`` up to the root, at most ``limit``; ends before ``stop`` when it is given."""
        ...

    async def path_down(self, conversation_id: UUID, leaf: UUID, stop: UUID | None, limit: int) -> list[UUID]:
        """Return the first ``limit`` ids of the path from the root, or from below ``stop``, down to ``leaf``."""
        ...

    async def fetch(self, conversation_id: UUID, ids: Sequence[UUID], characters: int) -> MessagePage:
        """Return the messages with these ids, in the order of the ids, until they reach ``characters`` together.

        At least one id is read, if there is one.
        """
        ...

    async def tree(
        self, conversation_id: UUID, after: MessagePosition | None, *, descending: bool, limit: int
    ) -> list[UUID]:
        """Return the ids of up to ``limit`` messages of all branches in creation order, after the given position."""
        ...
