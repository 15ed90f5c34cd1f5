"""Storing imported conversations."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from history.conversations.titles import title_from
from history.database import Database
from history.search.tokenizer import terms
from history.transfer.drafts import Draft, DraftMessage
from parley.errors import NotFound
from parley.ids import new_id
from parley.messaging import outbox
from parley.storage.postgres import Connection
from parley.times import now
from parley_events.models import ConversationCreated

_ERASED = "SELECT EXISTS (SELECT FROM user_tombstones WHERE user_id = $1)"
_EXISTS = """
SELECT EXISTS (SELECT FROM conversations WHERE id = $1)
    OR EXISTS (SELECT FROM conversation_tombstones WHERE conversation_id = $1)"""
_CLAIM = """
INSERT INTO import_keys AS k (user_id, key, digest) VALUES ($1, $2, $3)
ON CONFLICT (user_id, key) DO UPDATE SET digest = k.digest RETURNING k.digest = $3"""
_CONVERSATION = """
INSERT INTO conversations (id, user_id, title, title_source, title_number, archived, model, message_count, last_number,
    last_turn_id, active_message_id, active_number, metadata, created_at, updated_at, last_message_at)
VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $7, $8, $8, $7, $9, $10, $11, $12)"""
_MESSAGE = """
INSERT INTO messages (id, conversation_id, user_id, turn_id, number, parent_id, role, content, tool_calls, status,
    created_at, search, imported_model)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, search_terms($3, $12, $13), $14)"""


class PostgresImports:
    """Stores what is imported."""

    def __init__(self, database: Database) -> None:
        """Take history's database."""
        self._database = database

    async def claim(self, user_id: UUID, key: str, digest: bytes) -> bool:
        """Note which file a person's idempotency key stands for; return False when it stands for another."""
        return bool(await self._database.value(_CLAIM, user_id, key, digest))

    async def store(self, user_id: UUID, draft: Draft, conversation_id: UUID) -> tuple[str | None, bool]:
        """Store a conversation whose messages come after their parents; returns its title, and whether it is new."""
        ids = {message.key: new_id() for message in draft.messages}
        title = draft.title or _first_title(draft)
        rows = await asyncio.to_thread(_message_rows, user_id, conversation_id, draft, ids)
        async with self._database.transaction() as connection:
            await connection.execute("SELECT lock_person($1)", user_id)
            if await connection.fetchval(_ERASED, user_id):
                raise NotFound
            if await connection.fetchval(_EXISTS, conversation_id):
                return title, False
            await connection.execute(_CONVERSATION, *_conversation_row(user_id, conversation_id, title, draft, ids))
            await connection.executemany(_MESSAGE, rows)
            await _announce(connection, user_id, conversation_id, title, draft)
        return title, True


async def _announce(
    connection: Connection, user_id: UUID, conversation_id: UUID, title: str | None, draft: Draft
) -> None:
    created = ConversationCreated(
        conversation_id=conversation_id,
        user_id=user_id,
        origin="import",
        title=title,
        metadata=draft.metadata,
        created_at=draft.created_at or now(),
    )
    event_id = await outbox.append(connection, "conversation.created", created, subject=conversation_id)
    await connection.execute("SELECT feed_own($1, $2, $3)", event_id, user_id, conversation_id)


def _first_title(draft: Draft) -> str | None:
    return next((title_from(message.content) for message in draft.messages if message.role == "user"), None)


def _conversation_row(
    user_id: UUID, conversation_id: UUID, title: str | None, draft: Draft, ids: Mapping[str, UUID]
) -> tuple[Any, ...]:
    models = [message.model for message in draft.messages if message.model]
    active = ids.get(draft.active or "", ids[draft.messages[-1].key])
    times = [message.created_at for message in draft.messages if message.created_at]
    began = draft.created_at or min(times, default=now())
    return (
        conversation_id,
        user_id,
        title,
        "user" if draft.title else "auto",
        draft.archived,
        models[-1] if models else None,
        len(draft.messages),
        active,
        draft.metadata,
        began,
        now(),
        max(times, default=began),
    )


def _message_rows(user_id: UUID, conversation_id: UUID, draft: Draft, ids: Mapping[str, UUID]) -> list[tuple[Any, ...]]:
    moment = draft.created_at or now()
    rows = []
    for number, message in enumerate(draft.messages, 1):
        moment = message.created_at or moment
        rows.append(_message_row(user_id, conversation_id, number, message, ids, moment))
    return rows


def _message_row(
    user_id: UUID, conversation_id: UUID, number: int, message: DraftMessage, ids: Mapping[str, UUID], moment: datetime
) -> tuple[Any, ...]:
    own = ids[message.key]
    return (
        own,
        conversation_id,
        user_id,
        own if message.role == "assistant" else None,
        number,
        ids.get(message.parent) if message.parent is not None else None,
        message.role,
        message.content,
        message.tool_calls,
        message.status,
        moment,
        *terms(message.content),
        message.model,
    )
