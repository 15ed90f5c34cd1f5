"""Conversations in Postgres."""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

from history.conversations import rows
from history.conversations.schemas import Conversation, Owner
from history.conversations.store import ListFilter
from history.database import Database
from parley.messaging import outbox
from parley.storage.postgres import Connection
from parley_events.models import ConversationDeleted, ConversationUpdated

_FIND = f"{rows.CONVERSATION} WHERE c.id = $1 AND c.user_id = $2 AND c.deleted_at IS NULL"
_PAGE = f"""{rows.CONVERSATION}
WHERE c.user_id = $1 AND c.deleted_at IS NULL
  AND ($2::boolean IS NULL OR c.archived = $2)
  AND ($3::text IS NULL OR strpos(lower(c.title), lower($3)) > 0)
  AND ($4::timestamptz IS NULL OR (c.updated_at, c.id) < ($4, $5::uuid))
ORDER BY c.updated_at DESC, c.id DESC LIMIT $6"""
_EVERY = f"""{rows.CONVERSATION}
WHERE c.user_id = $1 AND c.deleted_at IS NULL AND ($2::uuid IS NULL OR c.id > $2) ORDER BY c.id LIMIT $3"""
_OWNER = """
SELECT user_id, deleted_at IS NOT NULL AS deleted, last_number FROM conversations WHERE id = $1
UNION ALL SELECT user_id, true, 0 FROM conversation_tombstones WHERE conversation_id = $1
LIMIT 1"""
_UPDATE = """
UPDATE conversations SET
    title = coalesce($2, title), title_source = CASE WHEN $2::text IS NULL THEN title_source ELSE 'user' END,
    archived = coalesce($3, archived),
    active_message_id = CASE WHEN $4 THEN $5::uuid ELSE active_message_id END,
    active_number = CASE WHEN $4 THEN last_number ELSE active_number END,
    metadata = coalesce($6, metadata), version = version + 1, updated_at = greatest(updated_at, clock_timestamp())
WHERE id = $1"""
_HIDE = "UPDATE conversations SET deleted_at = $2 WHERE id = $1"
_TOMBSTONE = """
INSERT INTO conversation_tombstones (conversation_id, user_id, deleted_at, purge_after) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING"""
_FORGET_FEED = "UPDATE feed SET data = NULL WHERE conversation_id = $1"
_ARCHIVED = {"false": False, "true": True, "all": None}


class PostgresConversations:
    """The conversations, by owner."""

    def __init__(self, database: Database) -> None:
        """Take history's database."""
        self._database = database

    async def find(self, user_id: UUID, conversation_id: UUID) -> Conversation | None:
        """Return a conversation of the person that is not deleted."""
        row = await self._database.row(_FIND, conversation_id, user_id)
        return rows.conversation(row) if row else None

    async def page(self, wanted: ListFilter, after: tuple[datetime, UUID] | None, limit: int) -> list[Conversation]:
        """Return up to ``limit`` conversations, the newest update first."""
        moment, last = after or (None, None)
        found = await self._database.fetch(
            _PAGE, wanted.user_id, _ARCHIVED[wanted.archived], wanted.title_part, moment, last, limit
        )
        return [rows.conversation(row) for row in found]

    async def every(self, user_id: UUID, after: UUID | None, limit: int) -> list[Conversation]:
        """Return the person's conversations by id: an order that changes meanwhile do not disturb."""
        return [rows.conversation(row) for row in await self._database.fetch(_EVERY, user_id, after, limit)]

    @contextlib.asynccontextmanager
    async def change(self, user_id: UUID, conversation_id: UUID) -> AsyncIterator["HeldConversation | None"]:
        """Hold a conversation of the person, in a transaction that ends with the context."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT lock_person($1)", user_id)
            row = await connection.fetchrow(_FIND, conversation_id, user_id)
            yield HeldConversation(connection, rows.conversation(row), user_id) if row else None

    async def owner(self, conversation_id: UUID) -> Owner | None:
        """Return whose a conversation is or was."""
        row = await self._database.row(_OWNER, conversation_id)
        return Owner(**row) if row else None


class HeldConversation:
    """A conversation in an open transaction, its owner locked."""

    def __init__(self, connection: Connection, conversation: Conversation, user_id: UUID) -> None:
        """Take the transaction's connection."""
        self._connection, self.conversation, self._user_id = connection, conversation, user_id

    async def has_message(self, message_id: UUID) -> bool:
        """Say whether a message belongs to the conversation."""
        query = "SELECT EXISTS (SELECT FROM messages WHERE id = $1 AND conversation_id = $2)"
        return bool(await self._connection.fetchval(query, message_id, self.conversation.id))

    async def update(self, changed: dict[str, Any]) -> Conversation:
        """Store the change and its event; returns the conversation as it is now."""
        await self._connection.execute(
            _UPDATE,
            self.conversation.id,
            changed.get("title"),
            changed.get("archived"),
            "active_message_id" in changed,
            changed.get("active_message_id"),
            changed.get("metadata"),
        )
        row = await self._connection.fetchrow(_FIND, self.conversation.id, self._user_id)
        self.conversation = rows.conversation(row)
        event = ConversationUpdated(
            conversation_id=self.conversation.id,
            user_id=self._user_id,
            version=self.conversation.version,
            changed=changed,
            updated_at=self.conversation.updated_at,
        )
        await self._publish("conversation.updated", event)
        return self.conversation

    async def delete(self, event: ConversationDeleted) -> None:
        """Hide the conversation from every reader, leave a tombstone, and write the event."""
        await self._connection.execute(_HIDE, event.conversation_id, event.deleted_at)
        await self._connection.execute(
            _TOMBSTONE, event.conversation_id, event.user_id, event.deleted_at, event.purge_after
        )
        await self._connection.execute(_FORGET_FEED, event.conversation_id)
        await self._publish("conversation.deleted", event)

    async def _publish(self, name: str, event: ConversationUpdated | ConversationDeleted) -> None:
        conversation_id = event.conversation_id
        event_id = await outbox.append(self._connection, name, event, subject=conversation_id)
        await self._connection.execute("SELECT feed_own($1, $2, $3)", event_id, self._user_id, conversation_id)
