"""Import storage in Postgres."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from history.conversations.titles import title_from
from history.database import Database
from history.search.tokenizer import index_terms
from history.transfer.drafts import AnswerDetails, ConversationDraft, MessageDraft
from history.transfer.store import ConversationNotStorable
from parley.errors import NotFound
from parley.ids import new_id
from parley.messaging import outbox
from parley.process.worker_thread import WorkerThread
from parley.storage.named_parameters import NamedStatement
from parley.storage.postgres import Connection
from parley.times import now
from parley.web.schemas import money
from parley_events.models import ConversationCreated

_ERASED = "SELECT EXISTS (SELECT FROM user_tombstones WHERE user_id = $1)"
_EXISTS = """
SELECT EXISTS (SELECT FROM conversations WHERE id = $1)
    OR EXISTS (SELECT FROM conversation_tombstones WHERE conversation_id = $1)"""
_IMPORTED_BYTES = """
SELECT coalesce(sum(imported_bytes), 0)::bigint FROM conversations WHERE user_id = $1 AND imported_bytes > 0"""
_CLAIM_KEY = """
INSERT INTO import_keys AS k (user_id, key, digest) VALUES ($1, $2, $3)
ON CONFLICT (user_id, key) DO UPDATE SET digest = k.digest RETURNING k.digest = $3"""
_INSERT_CONVERSATION = NamedStatement("""
INSERT INTO conversations (id, user_id, title, title_source, title_number, archived, model, message_count, last_number,
    last_turn_id, active_message_id, active_number, metadata, created_at, updated_at, last_message_at,
    tokens_used, cost, imported_bytes)
VALUES (:id, :user_id, :title, :title_source, 0, :archived, :model, :message_count, :last_number,
    :active_message_id, :active_message_id, :last_number, :metadata, :created_at, :updated_at, :last_message_at,
    :tokens_used, :cost, :imported_bytes)""")
_INSERT_MESSAGE = NamedStatement("""
INSERT INTO messages (id, conversation_id, user_id, turn_id, number, parent_id, role, content, tool_calls, status,
    created_at, imported_model, imported_details, tool_call_id)
VALUES (:id, :conversation_id, :user_id, :turn_id, :number, :parent_id, :role, :content, :tool_calls, :status,
    :created_at, :model, :details, :tool_call_id)""")
_INDEX = "SELECT index_messages($1::uuid[], $2::text[])"

MAX_BATCH_SIZE = 200
"""Messages that are stored with one statement."""
MAX_BATCH_LENGTH = 200_000
"""Characters of their contents, after which no message is added."""


class PostgresImportStore:
    """Stores imported conversations in Postgres. ``worker`` finds the search terms of their messages."""

    def __init__(self, database: Database, worker: WorkerThread) -> None:
        self._database, self._worker = database, worker

    async def claim_key(self, user_id: UUID, key: str, digest: bytes) -> bool:
        """Bind an idempotency key to the digest of a file; return False when it is bound to another digest."""
        return bool(await self._database.value(_CLAIM_KEY, user_id, key, digest))

    async def imported_bytes(self, user_id: UUID) -> int:
        """Return the bytes that the user's imported conversations count together, until they are purged."""
        return int(await self._database.value(_IMPORTED_BYTES, user_id))

    async def is_known(self, conversation_id: UUID) -> bool:
        """Tell whether a conversation with this id exists, or existed and was deleted."""
        return bool(await self._database.value(_EXISTS, conversation_id))

    async def store(
        self, user_id: UUID, draft: ConversationDraft, conversation_id: UUID, counted_bytes: int
    ) -> tuple[str | None, bool]:
        """Store a conversation whose messages are sorted parents first; return its title, and whether it is new."""
        title = draft.title or _first_title(draft)
        conversation = {"id": conversation_id, "user_id": user_id, "title": title, "imported_bytes": counted_bytes}
        try:
            async with self._database.person_transaction(user_id) as connection:
                if await connection.fetchval(_ERASED, user_id):
                    raise NotFound
                if await connection.fetchval(_EXISTS, conversation_id):
                    return title, False
                await self._insert(connection, conversation, draft)
        except (asyncpg.DataError, asyncpg.ProgramLimitExceededError) as error:
            raise ConversationNotStorable from error
        return title, True

    async def _insert(self, connection: Connection, conversation: Mapping[str, Any], draft: ConversationDraft) -> None:
        ids = {message.key: new_id() for message in draft.messages}
        values = {**conversation, **_conversation_values(draft, ids)}
        await connection.execute(_INSERT_CONVERSATION.sql, *_INSERT_CONVERSATION.arguments(values))
        for batch in _batches(conversation, draft):
            rows, terms = await self._worker.run(_message_arguments, batch, ids)
            await connection.executemany(_INSERT_MESSAGE.sql, rows)
            await connection.execute(_INDEX, [ids[message.key] for message, _ in batch], terms)
        await _store_event(connection, conversation, draft)


async def _store_event(connection: Connection, conversation: Mapping[str, Any], draft: ConversationDraft) -> None:
    conversation_id, user_id = conversation["id"], conversation["user_id"]
    created = ConversationCreated(
        conversation_id=conversation_id,
        user_id=user_id,
        origin="import",
        title=conversation["title"],
        metadata=draft.metadata,
        created_at=draft.created_at or now(),
    )
    event_id = await outbox.append(connection, "conversation.created", created, subject=conversation_id)
    await connection.execute("SELECT feed_own($1, $2, $3)", event_id, user_id, conversation_id)


def _first_title(draft: ConversationDraft) -> str | None:
    return next((title_from(message.content) for message in draft.messages if message.role == "user"), None)


def _conversation_values(draft: ConversationDraft, ids: Mapping[str, UUID]) -> dict[str, Any]:
    models = [message.model for message in draft.messages if message.model]
    times = [message.created_at for message in draft.messages if message.created_at]
    created_at = draft.created_at or min(times, default=now())
    last = draft.messages[-1] if draft.messages else None
    return {
        "title_source": (draft.title_source or "user") if draft.title else "auto",
        "archived": draft.archived,
        "model": draft.model or (models[-1] if models else None),
        "message_count": len(draft.messages),
        "last_number": last.number or len(draft.messages) if last else 0,
        "tokens_used": draft.totals.tokens_used,
        "cost": draft.totals.cost,
        "active_message_id": ids.get(draft.active or "", ids[last.key]) if last else None,
        "metadata": draft.metadata,
        "created_at": created_at,
        "updated_at": min(draft.totals.updated_at or now(), now()),
        "last_message_at": draft.totals.last_message_at or (max(times, default=created_at) if last else None),
    }


_Batch: TypeAlias = list[tuple[MessageDraft, dict[str, Any]]]


def _batches(conversation: Mapping[str, Any], draft: ConversationDraft) -> Iterator[_Batch]:
    """Yield the messages with their positions, in batches whose search terms take a bounded amount of memory."""
    created_at = draft.created_at or now()
    batch: _Batch = []
    length = 0
    for index, message in enumerate(draft.messages, 1):
        created_at = message.created_at or created_at
        position = {
            "user_id": conversation["user_id"],
            "conversation_id": conversation["id"],
            "number": message.number or index,
            "created_at": created_at,
        }
        batch.append((message, position))
        length += len(message.content)
        if length > MAX_BATCH_LENGTH or len(batch) == MAX_BATCH_SIZE:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def _message_arguments(batch: _Batch, ids: Mapping[str, UUID]) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Return the arguments of each message, and its search terms."""
    rows = [_INSERT_MESSAGE.arguments({**position, **_message_values(message, ids)}) for message, position in batch]
    return rows, [index_terms(message.content) for message, _ in batch]


def _message_values(message: MessageDraft, ids: Mapping[str, UUID]) -> dict[str, Any]:
    own_id = ids[message.key]
    return {
        "id": own_id,
        "turn_id": own_id if message.role == "assistant" else ids.get(message.turn or ""),
        "parent_id": ids.get(message.parent) if message.parent is not None else None,
        "role": message.role,
        "content": message.content,
        "tool_calls": message.tool_calls,
        "tool_call_id": message.tool_call_id,
        "status": message.status,
        "model": message.model,
        "details": _details(message.details),
    }


def _details(details: AnswerDetails | None) -> dict[str, Any] | None:
    """Return the details as ``imported_details`` has them: the cost as a text, to be exact."""
    if details is None:
        return None
    return {
        "finish_reason": details.finish_reason,
        "usage": details.usage.model_dump() if details.usage else None,
        "cost": None if details.cost is None else money(details.cost),
    }
