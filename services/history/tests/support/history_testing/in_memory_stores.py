"""In-memory doubles of the conversation, message and turn stores, with the same contract as the Postgres stores."""

import contextlib
import hashlib
import sys
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from history.conversations.schemas import Conversation, ConversationDeletion, ConversationOwnerResponse
from history.conversations.store import ConversationFilter, ListPosition
from history.messages.schemas import BranchMessage, BranchResponse, Message
from history.messages.store import MAX_SIBLING_COUNT, MAX_SIBLING_IDS, BranchQuery, MessagePage, MessagePosition
from history.search.normalization import fold
from history.turns.schemas import TurnDigest
from history_testing.stored_turns import (
    TURN_DURATION,
    assistant_message,
    empty_conversation,
    new_conversation,
    user_message,
)
from history_testing.turn_events import SampleTurn
from parley_events.models import ConversationDeleted


@dataclass
class InMemoryHistory:
    """The data that the three stores share."""

    conversations: dict[UUID, Conversation] = field(default_factory=dict)
    owners: dict[UUID, ConversationOwnerResponse] = field(default_factory=dict)
    messages: dict[UUID, list[Message]] = field(default_factory=dict)
    turns: dict[UUID, SampleTurn] = field(default_factory=dict)
    updates: list[dict[str, Any]] = field(default_factory=list)
    deletions: list[ConversationDeleted] = field(default_factory=list)

    def add(self, *turns: SampleTurn) -> None:
        """Store turns as they are after their terminal events."""
        for turn in turns:
            self.turns[turn.turn_id] = turn
            messages = self.messages.setdefault(turn.conversation_id, [])
            if all(message.id != turn.user_message_id for message in messages):
                messages.append(user_message(turn))
            messages.append(assistant_message(turn))
            self.owners[turn.conversation_id] = ConversationOwnerResponse(
                user_id=turn.user_id, deleted=False, last_number=turn.number, latest_answer_id=turn.turn_id
            )
            known = self.conversations.get(turn.conversation_id) or new_conversation(turn)
            self.conversations[turn.conversation_id] = known.model_copy(
                update={
                    "message_count": len(messages),
                    "tokens_used": known.tokens_used + sum(turn.tokens or ()),
                    "active_message_id": turn.turn_id,
                    "version": known.version + 1,
                    "updated_at": turn.started_at + TURN_DURATION,
                }
            )

    def delete(self, conversation_id: UUID) -> None:
        """Delete a conversation without an event."""
        self.owners[conversation_id] = self.owners[conversation_id].model_copy(update={"deleted": True})

    def visible(self, user_id: UUID) -> list[Conversation]:
        """Return the conversations of a user that are not deleted."""
        owned = (one for one in self.conversations.values() if self.owners[one.id].user_id == user_id)
        return [one for one in owned if not self.owners[one.id].deleted]


class InMemoryConversationStore:
    def __init__(self, history: InMemoryHistory) -> None:
        self._history = history

    async def find(self, user_id: UUID, conversation_id: UUID) -> Conversation | None:
        return next((one for one in self._history.visible(user_id) if one.id == conversation_id), None)

    async def page(self, wanted: ConversationFilter, after: ListPosition | None, limit: int) -> list[Conversation]:
        return self._listed(wanted, after)[:limit]

    async def position(self, wanted: ConversationFilter, after: ListPosition | None, ahead: int) -> ListPosition | None:
        listed = self._listed(wanted, after)
        return _update_order(listed[ahead - 1]) if len(listed) >= ahead else None

    async def titled(
        self, wanted: ConversationFilter, after: ListPosition | None, until: ListPosition | None, limit: int
    ) -> list[Conversation]:
        part, listed = fold(wanted.title_part or ""), self._listed(wanted, after)
        within = [one for one in listed if until is None or _update_order(one) >= until]
        return [one for one in within if part in fold(one.title or "")][:limit]

    def _listed(self, wanted: ConversationFilter, after: ListPosition | None) -> list[Conversation]:
        archived = {"false": (False,), "true": (True,), "all": (False, True)}[wanted.archived]
        found = [one for one in self._history.visible(wanted.user_id) if one.archived in archived]
        found.sort(key=_update_order, reverse=True)
        return [one for one in found if after is None or _update_order(one) < after]

    async def ids(self, user_id: UUID, after: UUID | None, limit: int) -> list[UUID]:
        found = sorted(one.id for one in self._history.visible(user_id))
        return [one for one in found if after is None or one > after][:limit]

    @contextlib.asynccontextmanager
    async def lock(self, user_id: UUID, conversation_id: UUID) -> AsyncIterator["InMemoryLockedConversation | None"]:
        found = await self.find(user_id, conversation_id)
        yield InMemoryLockedConversation(self._history, found) if found else None

    async def create(self, user_id: UUID, conversation_id: UUID, metadata: dict[str, str]) -> bool:
        if conversation_id in self._history.owners:
            return False
        self._history.owners[conversation_id] = ConversationOwnerResponse(
            user_id=user_id, deleted=False, last_number=0, latest_answer_id=None
        )
        created = empty_conversation(conversation_id).model_copy(update={"metadata": metadata})
        self._history.conversations[conversation_id] = created
        return True

    async def deletions(self, after: tuple[datetime, UUID] | None, limit: int) -> list[ConversationDeletion]:
        found = sorted(self._history.deletions, key=lambda one: (one.deleted_at, one.conversation_id))
        return [
            ConversationDeletion(conversation_id=one.conversation_id, user_id=one.user_id, deleted_at=one.deleted_at)
            for one in found
            if after is None or (one.deleted_at, one.conversation_id) > after
        ][:limit]

    async def owner(self, conversation_id: UUID) -> ConversationOwnerResponse | None:
        return self._history.owners.get(conversation_id)


class InMemoryLockedConversation:
    def __init__(self, history: InMemoryHistory, conversation: Conversation) -> None:
        self._history, self.conversation = history, conversation

    async def newest_answer(self, message_id: UUID) -> UUID | None:
        messages = self._history.messages[self.conversation.id]
        answers = [one for one in messages if one.parent_id == message_id and one.role == "assistant"]
        chosen = [one for one in messages if one.id == message_id]
        if not chosen or chosen[0].role == "assistant" or not answers:
            return chosen[0].id if chosen else None
        return max(answers, key=_creation_order).id

    async def update(self, changed: dict[str, Any]) -> Conversation:
        current = self.conversation.model_dump()
        source = {"title_source": "user"} if "title" in changed else {}
        if changed.get("active_message_id", "unchanged") is None:
            newest = max(self._history.messages[self.conversation.id], key=_creation_order)
            changed = {**changed, "active_message_id": newest.id}
        self.conversation = Conversation(**{**current, **changed, **source, "version": current["version"] + 1})
        self._history.conversations[self.conversation.id] = self.conversation
        self._history.updates.append(changed)
        return self.conversation

    async def delete(self, event: ConversationDeleted) -> None:
        self._history.delete(event.conversation_id)
        self._history.deletions.append(event)


class InMemoryMessageStore:
    def __init__(self, history: InMemoryHistory) -> None:
        self._history = history

    async def path(self, conversation_id: UUID, leaf: UUID, stop: UUID | None, limit: int | None) -> list[UUID]:
        parents = {message.id: message.parent_id for message in self._history.messages.get(conversation_id, [])}
        path: list[UUID] = []
        current: UUID | None = leaf
        while current is not None and current in parents and (not path or current != stop):
            path.append(current)
            current = parents[current]
        return path[:limit]

    async def path_down(self, conversation_id: UUID, leaf: UUID, stop: UUID | None, limit: int) -> list[UUID]:
        return (await self.path(conversation_id, leaf, stop, None))[::-1][:limit]

    async def branch(self, wanted: BranchQuery) -> BranchResponse:
        if all(one.id != wanted.conversation_id for one in self._history.visible(wanted.user_id)):
            return BranchResponse(messages=[], more=False)
        path = await self.path(wanted.conversation_id, wanted.leaf, None, None)
        found: list[BranchMessage] = []
        size = 0
        for message in (await self.fetch(wanted.conversation_id, path, sys.maxsize)).messages:
            size += len(message.content)
            if size > wanted.characters or len(found) == wanted.limit:
                break
            found.append(BranchMessage(**message.model_dump(include=set(BranchMessage.model_fields))))
        return BranchResponse(messages=found, more=len(found) < len(path))

    async def fetch(self, conversation_id: UUID, ids: Sequence[UUID], characters: int) -> MessagePage:
        found = {message.id: message for message in self._with_siblings(conversation_id)}
        read = list[UUID]()
        for one in ids:
            read.append(one)
            characters -= len(found[one].content) if one in found else 0
            if characters <= 0:
                break
        return MessagePage([found[one] for one in read if one in found], len(read))

    async def tree(
        self, conversation_id: UUID, after: MessagePosition | None, *, descending: bool, limit: int
    ) -> list[UUID]:
        found = sorted(self._with_siblings(conversation_id), key=_creation_order, reverse=descending)
        if after is not None:
            position = (after.number, after.role != "user", after.id)
            found = [one for one in found if (_creation_order(one) > position) is not descending]
            found = [one for one in found if _creation_order(one) != position]
        return [one.id for one in found[:limit]]

    def _with_siblings(self, conversation_id: UUID) -> Iterable[Message]:
        owner = self._history.owners.get(conversation_id)
        messages = [] if owner is not None and owner.deleted else self._history.messages.get(conversation_id, [])
        for message in messages:
            siblings = [
                other.id
                for other in messages
                if (other.parent_id, other.role) == (message.parent_id, message.role) and other.id != message.id
            ]
            count = min(len(siblings), MAX_SIBLING_COUNT)
            yield message.model_copy(update={"sibling_ids": siblings[:MAX_SIBLING_IDS], "sibling_count": count})


class InMemoryTurnLookup:
    def __init__(self, history: InMemoryHistory) -> None:
        self._history = history

    async def has_ended(self, user_id: UUID, conversation_id: UUID, turn_id: UUID) -> bool:
        turn = self._history.turns.get(turn_id)
        return turn is not None and (turn.user_id, turn.conversation_id) == (user_id, conversation_id)

    async def known(self, turn_ids: Collection[UUID]) -> list[UUID]:
        return [turn_id for turn_id in turn_ids if turn_id in self._history.turns]

    async def digests(self, turn_ids: Collection[UUID]) -> dict[UUID, TurnDigest]:
        found = {turn_id: self._history.turns[turn_id] for turn_id in turn_ids if turn_id in self._history.turns}
        return {
            turn_id: TurnDigest(status="completed", sha256=hashlib.sha256(turn.answer.encode()).hexdigest())
            for turn_id, turn in found.items()
        }


def _update_order(conversation: Conversation) -> tuple[datetime, UUID]:
    return conversation.updated_at, conversation.id


def _creation_order(message: Message) -> tuple[int, bool, UUID]:
    return message.number, message.role != "user", message.id
