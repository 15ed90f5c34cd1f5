"""In-memory double of the history service."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import orjson

from chat.errors import HistoryUnavailable
from chat.history import (
    ConversationOwner,
    CreatedConversation,
    DeletedConversation,
    PastBranch,
    RegenerationSource,
    StoredTurn,
)
from chat.past_exchanges import PastExchange


@dataclass
class FakeHistory:
    """A History whose content the test sets; every method raises HistoryUnavailable while ``unavailable``."""

    owners: dict[UUID, ConversationOwner] = field(default_factory=dict)
    past: dict[UUID, list[PastExchange]] = field(default_factory=dict)
    """The exchanges that end in each answer, newest first."""
    regenerations: dict[UUID, RegenerationSource] = field(default_factory=dict)
    stored: dict[UUID, StoredTurn] = field(default_factory=dict)
    deleted: list[DeletedConversation] = field(default_factory=list)
    unavailable: bool = False
    branches_read: int = 0

    async def owner(self, conversation_id: UUID) -> ConversationOwner | None:
        self._require_available()
        return self.owners.get(conversation_id)

    async def chosen_branch(self, conversation_id: UUID) -> ConversationOwner | None:
        return await self.owner(conversation_id)

    async def create(
        self, conversation_id: UUID, user_id: UUID, metadata: dict[str, str] | None = None
    ) -> CreatedConversation | None:
        self._require_available()
        new = conversation_id not in self.owners
        owner = self.owners.setdefault(conversation_id, ConversationOwner(user_id, deleted=False))
        if owner.user_id != user_id or owner.deleted:
            return None
        body = {"created_at": "2026-11-22T10:00:00.123Z", "metadata": metadata or {}}
        return CreatedConversation(new, orjson.dumps(body), '"1"')

    async def exchanges(self, conversation_id: UUID, message_id: UUID, user_id: UUID, *, characters: int) -> PastBranch:
        self._require_available()
        self.branches_read += 1
        return PastBranch(self.past.get(message_id, []))

    async def regeneration_source(
        self, conversation_id: UUID, message_id: UUID, user_id: UUID
    ) -> RegenerationSource | None:
        self._require_available()
        return self.regenerations.get(message_id)

    async def known_turns(self, turn_ids: Collection[UUID]) -> set[UUID]:
        self._require_available()
        return {turn_id for turn_id in turn_ids if turn_id in self.stored}

    async def deletions(self, after: tuple[datetime, UUID] | None, limit: int) -> list[DeletedConversation]:
        self._require_available()
        found = sorted(self.deleted, key=lambda one: (one.deleted_at, one.conversation_id))
        return [one for one in found if after is None or (one.deleted_at, one.conversation_id) > after][:limit]

    async def digests(self, turn_ids: Collection[UUID]) -> dict[UUID, StoredTurn]:
        self._require_available()
        return {turn_id: self.stored[turn_id] for turn_id in turn_ids if turn_id in self.stored}

    def _require_available(self) -> None:
        if self.unavailable:
            raise HistoryUnavailable
