"""Reading and changing conversations, and reading their messages."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from history import cursors
from history.changes.notifier import Changes
from history.conversations.schemas import Conversation, ConversationPatch, Message, Order
from history.conversations.store import Conversations, Hint, ListFilter, Messages, Place, Retention, Turns
from history.errors import ConversationNotFound, MessageNotFound
from parley.errors import PreconditionFailed
from parley.ids import parse_id
from parley.times import now
from parley.web.schemas import Page
from parley_events.models import ConversationDeleted

LONGEST_WAIT = 2.0
"""Seconds that ``wait_for`` waits for a turn."""


def path_id(text: str) -> UUID:
    """Return the conversation id that a path names; a malformed one is as unknown as any other."""
    found = parse_id(text)
    if found is None:
        raise ConversationNotFound
    return found


def check_version(if_match: str | None, version: int) -> None:
    """Raise PreconditionFailed unless an If-Match header (or none) allows the version."""
    if if_match is None or if_match.strip() == "*":
        return
    if f'"{version}"' not in (tag.strip() for tag in if_match.split(",")):
        raise PreconditionFailed


class ConversationService:
    """A person's conversations."""

    def __init__(self, conversations: Conversations, changes: Changes, *, retention: Retention, hint: Hint) -> None:
        """Take what stores them, who waits for changes, and the relay's hint."""
        self._conversations, self._changes = conversations, changes
        self._retention, self._hint = retention, hint

    async def get(self, user_id: UUID, conversation_id: UUID) -> Conversation:
        """Return a conversation; raises ConversationNotFound when it is deleted or somebody else's."""
        found = await self._conversations.find(user_id, conversation_id)
        if found is None:
            raise ConversationNotFound
        return found

    async def page(self, wanted: ListFilter, cursor: str | None, limit: int) -> Page[Conversation]:
        """Return a page of conversations, the newest update first."""
        kind = f"conversations {wanted.archived} {wanted.title_part or ''}"
        after = None
        if cursor is not None:
            moment, last = cursors.decode(kind, cursor, (datetime, UUID))
            after = moment, last
        found = await self._conversations.page(wanted, after, limit + 1)
        more = len(found) > limit
        last_shown = found[limit - 1] if more else None
        following = cursors.encode(kind, _place(last_shown)) if last_shown else None
        return Page(data=found[:limit], next_cursor=following)

    async def patch(
        self, user_id: UUID, conversation_id: UUID, patch: ConversationPatch, if_match: str | None
    ) -> Conversation:
        """Change a conversation; raises ConversationNotFound, MessageNotFound or PreconditionFailed."""
        async with self._conversations.change(user_id, conversation_id) as held:
            if held is None:
                raise ConversationNotFound
            check_version(if_match, held.conversation.version)
            if patch.active_message_id and not await held.has_message(patch.active_message_id):
                raise MessageNotFound
            changed = _differences(held.conversation, patch.changed())
            if not changed:
                return held.conversation
            updated = await held.update(changed)
        self._announce(user_id)
        return updated

    async def delete(self, user_id: UUID, conversation_id: UUID, plan: str, if_match: str | None) -> None:
        """Delete a conversation, to be purged when the plan's retention is over; raises as ``patch``."""
        deleted_at = now()
        async with self._conversations.change(user_id, conversation_id) as held:
            if held is None:
                raise ConversationNotFound
            check_version(if_match, held.conversation.version)
            event = ConversationDeleted(
                conversation_id=conversation_id,
                user_id=user_id,
                deleted_at=deleted_at,
                purge_after=deleted_at + self._retention(plan),
            )
            await held.delete(event)
        self._announce(user_id)

    def _announce(self, user_id: UUID) -> None:
        self._hint()
        self._changes.feed_grew(user_id)


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Which messages of a conversation are asked for."""

    order: Order = "asc"
    tree: bool = False
    wait_for: UUID | None = None
    cursor: str | None = None
    limit: int = 20


class MessageService:
    """The messages of a person's conversations."""

    def __init__(
        self,
        conversations: ConversationService,
        messages: Messages,
        turns: Turns,
        changes: Changes,
        *,
        longest_wait: float = LONGEST_WAIT,
    ) -> None:
        """Take what stores them, and who tells of turns that end."""
        self._conversations, self._messages, self._turns, self._changes = conversations, messages, turns, changes
        self._longest_wait = longest_wait

    async def page(self, user_id: UUID, conversation_id: UUID, query: MessageQuery) -> Page[Message]:
        """Return a page of the active branch or of the whole tree; raises ConversationNotFound."""
        if query.wait_for:
            # Before the question whose it is: the turn may be the first of its conversation. Strangers wait in vain.
            await self._wait(user_id, conversation_id, query.wait_for)
        conversation = await self._conversations.get(user_id, conversation_id)
        if query.tree:
            return await self._tree(conversation_id, query)
        return await self._branch(conversation, query)

    async def _wait(self, user_id: UUID, conversation_id: UUID, turn_id: UUID) -> None:
        with self._changes.watch_turn(turn_id) as may_have_ended, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._longest_wait):
                while not await self._turns.ended(user_id, conversation_id, turn_id):
                    await may_have_ended.wait()
                    may_have_ended.clear()

    async def _tree(self, conversation_id: UUID, query: MessageQuery) -> Page[Message]:
        kind = f"tree {conversation_id} {query.order}"
        after = None
        if query.cursor is not None:
            number, role, last = cursors.decode(kind, query.cursor, (int, str, UUID))
            after = Place(number, role, last)
        descending = query.order == "desc"
        found = await self._messages.tree(conversation_id, after, descending=descending, limit=query.limit + 1)
        following = None
        if len(found) > query.limit:
            last_shown = found[query.limit - 1]
            following = cursors.encode(kind, (last_shown.number, last_shown.role, str(last_shown.id)))
        return Page(data=found[: query.limit], next_cursor=following)

    async def _branch(self, conversation: Conversation, query: MessageQuery) -> Page[Message]:
        kind = f"branch {conversation.id} {query.order}"
        leaf, last = conversation.active_message_id, None
        if query.cursor is not None:
            # The cursor keeps its branch: a new turn meanwhile does not mix two branches in one list.
            leaf, last = cursors.decode(kind, query.cursor, (UUID, UUID))
        if leaf is None:
            return Page(data=[], next_cursor=None)
        ids = await self._branch_ids(conversation.id, leaf, last, query)
        shown = ids[: query.limit]
        following = cursors.encode(kind, (str(leaf), str(shown[-1]))) if len(ids) > query.limit else None
        return Page(data=await self._messages.fetch(conversation.id, shown), next_cursor=following)

    async def _branch_ids(
        self, conversation_id: UUID, leaf: UUID, last: UUID | None, query: MessageQuery
    ) -> list[UUID]:
        if query.order == "asc":
            upwards = await self._messages.path(conversation_id, leaf, last, None)
            return upwards[::-1][: query.limit + 1]
        if last is None:
            return await self._messages.path(conversation_id, leaf, None, query.limit + 1)
        return (await self._messages.path(conversation_id, last, None, query.limit + 2))[1:]


def _place(conversation: Conversation) -> tuple[str, str]:
    return conversation.updated_at.isoformat(), str(conversation.id)


def _differences(conversation: Conversation, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a change really changes; choosing a message or a title is a decision even when it looks the same."""
    now_is = conversation.model_dump(mode="json")
    if conversation.title_source != "user":
        now_is.pop("title")
    now_is.pop("active_message_id")
    return {name: value for name, value in wanted.items() if name not in now_is or now_is[name] != value}
