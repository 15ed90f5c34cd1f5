"""Conversation service: list, read, change and delete."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from history.change_notifier.notifier import ChangeNotifier
from history.conversations.schemas import (
    Conversation,
    ConversationDeletion,
    ConversationOwnerResponse,
    ConversationPatch,
)
from history.conversations.store import ConversationFilter, ConversationStore, LockedConversation
from history.conversations.title_search import TitleSearch
from history.errors import ConversationNotFound, MessageNotFound
from history.retention.policy import RetentionPolicy
from parley.errors import PreconditionFailed
from parley.times import now
from parley.web import cursors
from parley.web.schemas import Page
from parley_events.models import ConversationDeleted


class ConversationService:
    """The conversations of a user.

    ``wake_relay`` tells the outbox relay that an event was stored.
    """

    def __init__(
        self,
        store: ConversationStore,
        changes: ChangeNotifier,
        *,
        retention: RetentionPolicy,
        wake_relay: Callable[[], None],
    ) -> None:
        self._store, self._changes, self._titles = store, changes, TitleSearch(store)
        self._retention, self._wake_relay = retention, wake_relay

    async def get(self, user_id: UUID, conversation_id: UUID) -> Conversation:
        """Return a conversation; raises ConversationNotFound when it is deleted or belongs to another user."""
        found = await self._store.find(user_id, conversation_id)
        if found is None:
            raise ConversationNotFound
        return found

    async def owner(self, conversation_id: UUID) -> ConversationOwnerResponse:
        """Return the owner of a conversation, also of a deleted one; raises ConversationNotFound."""
        found = await self._store.owner(conversation_id)
        if found is None:
            raise ConversationNotFound
        return found

    async def deletions(self, after: tuple[datetime, UUID] | None, limit: int) -> list[ConversationDeletion]:
        """Return up to ``limit`` deletions of all users, oldest first, after the given (deleted_at, id)."""
        return await self._store.deletions(after, limit)

    async def create(
        self, user_id: UUID, conversation_id: UUID, metadata: dict[str, str] | None = None
    ) -> tuple[Conversation, bool]:
        """Create an empty conversation, or return the user's existing one, and whether it is new.

        Raises ConversationNotFound when it is deleted or belongs to another user, or the user was erased.
        """
        new = await self._store.create(user_id, conversation_id, metadata or {})
        if new:
            self._announce(user_id)
        return await self.get(user_id, conversation_id), new

    async def page(self, wanted: ConversationFilter, cursor: str | None, limit: int) -> Page[Conversation]:
        """Return a page of conversations, newest update first; raises InvalidCursor.

        A page by title can have fewer than ``limit``, or none, and still a cursor: see ``TitleSearch``.
        """
        kind = f"conversations {wanted.archived} {wanted.title_part or ''}"
        after = None
        if cursor is not None:
            updated_at, last_id = cursors.decode(kind, cursor, (datetime, UUID))
            after = updated_at, last_id
        if wanted.title_part is None:
            found, stopped = await self._store.page(wanted, after, limit + 1), None
        else:
            found, stopped = await self._titles.find(wanted, after, limit + 1)
        if len(found) > limit:
            stopped = found[limit - 1].updated_at, found[limit - 1].id
        next_cursor = cursors.encode(kind, (stopped[0].isoformat(), str(stopped[1]))) if stopped else None
        return Page(data=found[:limit], next_cursor=next_cursor)

    async def patch(
        self, user_id: UUID, conversation_id: UUID, patch: ConversationPatch, if_match: str | None
    ) -> Conversation:
        """Change a conversation; raises ConversationNotFound, MessageNotFound or PreconditionFailed."""
        async with self._store.lock(user_id, conversation_id) as locked:
            if locked is None:
                raise ConversationNotFound
            _check_if_match(if_match, locked.conversation.version)
            wanted = patch.changed()
            if patch.active_message_id:
                wanted["active_message_id"] = await _answer_to_show(locked, patch.active_message_id)
            changed = _differences(locked.conversation, wanted)
            if not changed:
                return locked.conversation
            updated = await locked.update(changed)
        self._announce(user_id)
        return updated

    async def delete(self, user_id: UUID, conversation_id: UUID, plan: str, if_match: str | None) -> None:
        """Delete a conversation and schedule its purge; raises ConversationNotFound or PreconditionFailed."""
        deleted_at = now()
        async with self._store.lock(user_id, conversation_id) as locked:
            if locked is None:
                raise ConversationNotFound
            _check_if_match(if_match, locked.conversation.version)
            event = ConversationDeleted(
                conversation_id=conversation_id,
                user_id=user_id,
                deleted_at=deleted_at,
                purge_after=deleted_at + self._retention(plan),
            )
            await locked.delete(event)
        self._announce(user_id)

    def _announce(self, user_id: UUID) -> None:
        self._wake_relay()
        self._changes.feed_grew(user_id)


async def _answer_to_show(locked: LockedConversation, chosen: UUID) -> str:
    """Return the message that the branch of the chosen one ends in; raises MessageNotFound."""
    found = await locked.newest_answer(chosen)
    if found is None:
        raise MessageNotFound
    return str(found)


def _check_if_match(if_match: str | None, version: int) -> None:
    if if_match is None or if_match.strip() == "*":
        return
    if f'"{version}"' not in (tag.strip() for tag in if_match.split(",")):
        raise PreconditionFailed


def _differences(conversation: Conversation, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members whose value differs.

    An active message, and a title that replaces an automatic one, count as changed even when the value is equal: from
    now on they are the user's choice.
    """
    current = conversation.model_dump(mode="json")
    if conversation.title_source != "user":
        current.pop("title")
    current.pop("active_message_id")
    return {name: value for name, value in wanted.items() if name not in current or current[name] != value}
