"""Conversation storage in Postgres."""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

from history.conversations.schemas import Conversation, ConversationDeletion, ConversationOwnerResponse
from history.conversations.store import ConversationFilter, ListPosition
from history.database import Database, Row
from parley.messaging import outbox
from parley.storage.postgres import Connection
from parley.times import now
from parley_events.models import ConversationCreated, ConversationDeleted, ConversationUpdated

# LATERAL (… OFFSET 0) allows Postgres one plan only, a loop over one key of an index. Positions of pages are not NULL,
# because a generic plan cannot use an index for "$4 IS NULL OR …". See docs/query-plans.md.
_MESSAGE = "LATERAL (SELECT * FROM messages WHERE id = {} OFFSET 0)"
_FIRST_ID = "'00000000-0000-0000-0000-000000000000'"
# The choice of a branch ends with the first turn that starts later.
_CHOSEN = """CASE WHEN c.active_since >= coalesce(
    (SELECT t.started_at FROM turns AS t WHERE t.id = c.last_turn_id), '-infinity'
) THEN c.active_message_id END"""
_CONVERSATION_COLUMNS = f"""
SELECT c.*, coalesce({_CHOSEN}, c.last_turn_id) AS active_id,
    (SELECT t.id FROM turns AS t WHERE t.conversation_id = c.id AND t.status = 'running' AND t.stored
     ORDER BY t.number DESC LIMIT 1) AS running_turn_id"""  # noqa: S608 - only a constant is interpolated
_CONVERSATION = f"{_CONVERSATION_COLUMNS} FROM conversations AS c"
_FIND = f"{_CONVERSATION} WHERE c.id = $1 AND c.user_id = $2 AND c.deleted_at IS NULL"
_LISTED = f"""
WHERE c.user_id = $1 AND c.deleted_at IS NULL AND ($2::boolean IS NULL OR c.archived = $2)
  AND (c.updated_at, c.id) < (coalesce($3::timestamptz, 'infinity'), coalesce($4::uuid, {_FIRST_ID}))"""
_PAGE = f"{_CONVERSATION}{_LISTED}\nORDER BY c.updated_at DESC, c.id DESC LIMIT $5"
_POSITION = f"""SELECT c.updated_at, c.id FROM conversations AS c{_LISTED}
ORDER BY c.updated_at DESC, c.id DESC OFFSET $5 LIMIT 1"""  # noqa: S608 - only constants are interpolated
_TITLED = f"""{_CONVERSATION}{_LISTED}
  AND (c.updated_at, c.id) >= (coalesce($6::timestamptz, '-infinity'), coalesce($7::uuid, {_FIRST_ID}))
  AND strpos(folded_title(c.title), folded_title($8)) > 0
ORDER BY c.updated_at DESC, c.id DESC LIMIT $5"""
# No index has a user's conversations by id. OFFSET 0 keeps Postgres from reading those of all users in that order.
_IDS = f"""
SELECT id FROM (SELECT id FROM conversations WHERE user_id = $1 AND deleted_at IS NULL OFFSET 0) AS own
WHERE id > coalesce($2::uuid, {_FIRST_ID}) ORDER BY id LIMIT $3"""  # noqa: S608 - only a constant is interpolated
_OWNER = f"""
SELECT c.user_id, c.deleted_at IS NOT NULL AS deleted, c.last_number,
    CASE WHEN c.active_message_id IS NOT NULL THEN c.active_since END AS chosen_at, (
    SELECT m.id FROM messages AS m
    WHERE m.conversation_id = $1 AND m.role = 'assistant' AND (m.content <> '' OR m.tool_calls IS NOT NULL)
    ORDER BY m.number DESC, CASE m.role WHEN 'user' THEN 0 ELSE 1 END DESC, m.id DESC LIMIT 1
) AS latest_answer_id, (
    WITH RECURSIVE above (id, parent_id, role) AS (
        SELECT m.id, m.parent_id, m.role FROM {_MESSAGE.format(_CHOSEN)} AS m WHERE m.conversation_id = $1
        UNION ALL
        SELECT m.id, m.parent_id, m.role FROM above AS a CROSS JOIN {_MESSAGE.format("a.parent_id")} AS m
        WHERE m.conversation_id = $1 AND a.role <> 'assistant'
    )
    SELECT id FROM above WHERE role = 'assistant' LIMIT 1
) AS chosen_answer_id
FROM conversations AS c WHERE c.id = $1
UNION ALL SELECT user_id, true, 0, NULL, NULL, NULL FROM conversation_tombstones WHERE conversation_id = $1
LIMIT 1"""  # noqa: S608 - only a constant is interpolated
# The newest answer below a message, the message itself if it is an answer or has none. A deleted answer, or one without
# content, only if there is no other.
_NEWEST_ANSWER = f"""
WITH RECURSIVE below (id, role, number, hidden) AS (
    SELECT m.id, m.role, m.number, m.hidden FROM {_MESSAGE.format("$1")} AS m WHERE m.conversation_id = $2
    UNION ALL
    SELECT m.id, m.role, m.number, m.hidden FROM below AS b CROSS JOIN LATERAL (
        SELECT * FROM messages WHERE conversation_id = $2 AND parent_id = b.id OFFSET 0
    ) AS m
    WHERE m.role <> 'user' AND b.role <> 'assistant'
)
SELECT id FROM below ORDER BY role = 'assistant' DESC, hidden, number DESC, id DESC LIMIT 1"""  # noqa: S608 - only constants are interpolated
_DELETIONS = f"""
SELECT conversation_id, user_id, deleted_at FROM conversation_tombstones
WHERE (deleted_at, conversation_id) > (coalesce($1::timestamptz, '-infinity'), coalesce($2::uuid, {_FIRST_ID}))
ORDER BY deleted_at, conversation_id LIMIT $3"""  # noqa: S608 - only constants are interpolated
_UPDATE = """
UPDATE conversations SET
    title = coalesce($2, title), title_source = CASE WHEN $2::text IS NULL THEN title_source ELSE 'user' END,
    archived = coalesce($3, archived),
    active_message_id = CASE WHEN $4 THEN $5::uuid ELSE active_message_id END,
    active_since = CASE WHEN $4 THEN clock_timestamp() ELSE active_since END,
    metadata = coalesce($6, metadata), version = version + 1, updated_at = greatest(updated_at, clock_timestamp())
WHERE id = $1"""
_CREATE = """
INSERT INTO conversations (id, user_id, created_at, updated_at, metadata)
SELECT $1, $2, $3, $3, $4
WHERE NOT EXISTS (SELECT FROM conversation_tombstones WHERE conversation_id = $1)
  AND NOT EXISTS (SELECT FROM user_tombstones WHERE user_id = $2)
ON CONFLICT DO NOTHING RETURNING id"""
_MARK_DELETED = "UPDATE conversations SET deleted_at = $2 WHERE id = $1"
_TOMBSTONE = """
INSERT INTO conversation_tombstones (conversation_id, user_id, deleted_at, purge_after) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING"""
_CLEAR_SEARCH = "DELETE FROM message_search WHERE conversation_id = $1"
_CLEAR_FEED = "UPDATE feed SET data = NULL WHERE conversation_id = $1"
_CLEAR_OUTBOX = """
WITH locked AS (
    SELECT id FROM outbox WHERE partition_key = $1 AND name IN ('conversation.created', 'conversation.updated')
    ORDER BY id FOR NO KEY UPDATE
)
UPDATE outbox AS o SET data = o.data || CASE o.name
    WHEN 'conversation.created' THEN '{"title": null, "metadata": {}}'::jsonb ELSE '{"changed": {}}'::jsonb END
FROM locked WHERE o.id = locked.id"""
_ARCHIVED = {"false": False, "true": True, "all": None}


class PostgresConversationStore:
    """Conversations in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, user_id: UUID, conversation_id: UUID) -> Conversation | None:
        """Return the user's conversation, or None when it does not exist or is deleted."""
        row = await self._database.row(_FIND, conversation_id, user_id)
        return _conversation(row) if row else None

    async def page(self, wanted: ConversationFilter, after: ListPosition | None, limit: int) -> list[Conversation]:
        """Return up to ``limit`` conversations, newest update first. Ignores ``title_part``."""
        return [_conversation(row) for row in await self._database.fetch(_PAGE, *_listed(wanted, after), limit)]

    async def position(self, wanted: ConversationFilter, after: ListPosition | None, ahead: int) -> ListPosition | None:
        """Return the position so many conversations after another one, or None behind the end."""
        row = await self._database.row(_POSITION, *_listed(wanted, after), ahead - 1)
        return (row["updated_at"], row["id"]) if row else None

    async def titled(
        self, wanted: ConversationFilter, after: ListPosition | None, until: ListPosition | None, limit: int
    ) -> list[Conversation]:
        """Return up to ``limit`` conversations whose title matches, newest update first, down to ``until``."""
        bounds = *_listed(wanted, after), limit, *(until or (None, None))
        return [_conversation(row) for row in await self._database.fetch(_TITLED, *bounds, wanted.title_part)]

    async def ids(self, user_id: UUID, after: UUID | None, limit: int) -> list[UUID]:
        """Return up to ``limit`` conversations in the order of their ids, which concurrent updates do not change."""
        return [row["id"] for row in await self._database.fetch(_IDS, user_id, after, limit)]

    @contextlib.asynccontextmanager
    async def lock(self, user_id: UUID, conversation_id: UUID) -> AsyncIterator["PostgresLockedConversation | None"]:
        """Lock the user's conversation in a transaction that commits at the end of the context."""
        async with self._database.person_transaction(user_id) as connection:
            row = await connection.fetchrow(_FIND, conversation_id, user_id)
            yield PostgresLockedConversation(connection, _conversation(row), user_id) if row else None

    async def create(self, user_id: UUID, conversation_id: UUID, metadata: dict[str, str]) -> bool:
        """Store an empty conversation and ``conversation.created``; False if the ID is in use or the user erased."""
        created = ConversationCreated(
            conversation_id=conversation_id,
            user_id=user_id,
            origin="chat",
            title=None,
            metadata=metadata,
            created_at=now(),
        )
        async with self._database.person_transaction(user_id) as connection:
            if await connection.fetchval(_CREATE, conversation_id, user_id, created.created_at, metadata) is None:
                return False
            await _publish(connection, "conversation.created", created)
        return True

    async def deletions(self, after: tuple[datetime, UUID] | None, limit: int) -> list[ConversationDeletion]:
        """Return up to ``limit`` deletions of all users, oldest first, after the given (deleted_at, id)."""
        rows = await self._database.fetch(_DELETIONS, *(after or (None, None)), limit)
        return [ConversationDeletion(**row) for row in rows]

    async def owner(self, conversation_id: UUID) -> ConversationOwnerResponse | None:
        """Return the owner of a conversation, also of a deleted one, or None when the id was never used."""
        row = await self._database.row(_OWNER, conversation_id)
        return ConversationOwnerResponse(**row) if row else None


class PostgresLockedConversation:
    """A conversation in an open transaction that holds its owner's lock."""

    def __init__(self, connection: Connection, conversation: Conversation, user_id: UUID) -> None:
        self._connection, self.conversation, self._user_id = connection, conversation, user_id

    async def newest_answer(self, message_id: UUID) -> UUID | None:
        """Return the newest answer to a message, the message itself without one; None if it does not exist."""
        found: UUID | None = await self._connection.fetchval(_NEWEST_ANSWER, message_id, self.conversation.id)
        return found

    async def update(self, changed: dict[str, Any]) -> Conversation:
        """Store the changed members and the ``conversation.updated`` event; return the new conversation."""
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
        self.conversation = _conversation(row)
        event = ConversationUpdated(
            conversation_id=self.conversation.id,
            user_id=self._user_id,
            version=self.conversation.version,
            changed=changed,
            updated_at=self.conversation.updated_at,
        )
        await _publish(self._connection, "conversation.updated", event)
        return self.conversation

    async def delete(self, event: ConversationDeleted) -> None:
        """Hide the conversation, insert its tombstone, store the event, and clear search, feed and earlier events."""
        await self._connection.execute(_MARK_DELETED, event.conversation_id, event.deleted_at)
        await self._connection.execute(
            _TOMBSTONE, event.conversation_id, event.user_id, event.deleted_at, event.purge_after
        )
        await self._connection.execute(_CLEAR_SEARCH, event.conversation_id)
        await self._connection.execute(_CLEAR_FEED, event.conversation_id)
        await _publish(self._connection, "conversation.deleted", event)
        await self._connection.execute(_CLEAR_OUTBOX, str(event.conversation_id))


async def _publish(
    connection: Connection, name: str, event: ConversationCreated | ConversationUpdated | ConversationDeleted
) -> None:
    event_id = await outbox.append(connection, name, event, subject=event.conversation_id)
    await connection.execute("SELECT feed_own($1, $2, $3)", event_id, event.user_id, event.conversation_id)


def _listed(wanted: ConversationFilter, after: ListPosition | None) -> tuple[object, ...]:
    return wanted.user_id, _ARCHIVED[wanted.archived], *(after or (None, None))


def _conversation(row: Row) -> Conversation:
    return Conversation(
        id=row["id"],
        title=row["title"],
        title_source=row["title_source"],
        archived=row["archived"],
        model=row["model"],
        message_count=row["message_count"],
        tokens_used=row["tokens_used"],
        cost_estimate=None if row["cost"] is None else float(round(row["cost"], 9)),
        cost=row["cost"],
        running_turn_id=row["running_turn_id"],
        active_message_id=row["active_id"],
        metadata=row["metadata"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_message_at=row["last_message_at"],
    )
