"""Tombstones of deleted conversations and erased accounts. Content is blanked; ids and numbers stay."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import orjson

from chat.events.turn_events import ended_event
from chat.model import EMPTY_USAGE, Outcome, Turn
from chat.storage.postgres_turns import PostgresTurnStore
from chat.storage.turn_rows import to_turn
from parley import times
from parley.ids import new_id
from parley.messaging import outbox
from parley.observability.tracing import current_traceparent
from parley.storage.postgres import Connection, allow_long_statements
from parley_events.models import UserErasureConfirmed

ERASURE_TIMEOUT = 50.0
"""Seconds for each statement: a user may have hundreds of thousands of turns, and a conversation as well."""

# Every statement on several rows locks them in the order of their keys first: see docs/locks.md.

# Every column that is blanked. A turn without texts can have others: the images of a message are not stored.
_HAS_CONTENT = """
(t.content <> '' OR t.user_message <> '' OR t.entries <> '[]' OR t.tool_calls IS NOT NULL OR t.tool_results <> '[]'
 OR t.system_prompt IS NOT NULL OR t.metadata <> '{}' OR t.response IS NOT NULL)"""
_BLANK_TURNS = f"""
WITH locked AS (
    SELECT t.id FROM turns AS t
    WHERE t.status <> 'running' AND t.conversation_id = ANY ($1::uuid[]) AND {_HAS_CONTENT}
    ORDER BY t.id FOR NO KEY UPDATE
)
UPDATE turns AS t SET user_message = '', content = '', entries = '[]', tool_calls = NULL, system_prompt = NULL,
    metadata = '{{}}', tool_results = '[]', response = NULL
FROM locked WHERE t.id = locked.id"""  # noqa: S608 - only a constant is interpolated
_BLANK_EVENTS = """
WITH locked AS (
    SELECT id FROM outbox WHERE partition_key = ANY ($1::text[]) AND name LIKE 'conversation.turn.%'
    ORDER BY id FOR NO KEY UPDATE
)
UPDATE outbox AS o SET data = jsonb_set(jsonb_set(jsonb_set(o.data
        || '{"system_prompt": null, "metadata": {}, "tool_results": []}',
    '{user_message,content}', '""', false), '{message,content}', '""', false), '{message,tool_calls}', 'null', false)
FROM locked WHERE o.id = locked.id"""
_DELETE_CONVERSATION = """
INSERT INTO conversations AS c (id, user_id, deleted_at) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET deleted_at = coalesce(c.deleted_at, excluded.deleted_at), system_prompt = NULL
WHERE c.user_id = excluded.user_id"""
_CANCEL_CONVERSATION = """
WITH locked AS (
    SELECT id FROM turns WHERE conversation_id = $1 AND status = 'running' ORDER BY id FOR NO KEY UPDATE
)
UPDATE turns AS t SET cancel_requested_at = coalesce(t.cancel_requested_at, now())
FROM locked WHERE t.id = locked.id AND t.status = 'running' RETURNING t.id"""
_CANCEL_USER = """
WITH locked AS (
    SELECT id FROM turns WHERE user_id = $1 AND status = 'running' ORDER BY id FOR NO KEY UPDATE
)
UPDATE turns AS t SET cancel_requested_at = coalesce(t.cancel_requested_at, now())
FROM locked WHERE t.id = locked.id AND t.status = 'running' RETURNING t.id"""
_ERASE_ACCOUNT = """
INSERT INTO accounts AS a (user_id, erased_at) VALUES ($1, now())
ON CONFLICT (user_id) DO UPDATE SET erased_at = coalesce(a.erased_at, excluded.erased_at)"""
_DELETE_KEYS = """
WITH locked AS (
    SELECT route, key FROM idempotency_keys WHERE user_id = $1 ORDER BY user_id, route, key FOR UPDATE
)
DELETE FROM idempotency_keys AS k USING locked
WHERE k.user_id = $1 AND k.route = locked.route AND k.key = locked.key"""
_ERASE_CONVERSATIONS = """
WITH locked AS (SELECT id FROM conversations WHERE user_id = $1 ORDER BY id FOR NO KEY UPDATE)
UPDATE conversations AS c SET deleted_at = coalesce(deleted_at, now()), system_prompt = NULL
FROM locked WHERE c.id = locked.id RETURNING c.id"""
_LOCK_TURNS = "SELECT id FROM turns WHERE user_id = $1 ORDER BY id FOR NO KEY UPDATE"
_END_RUNNING = """
UPDATE turns SET status = 'cancelled', finish_reason = 'cancelled', epoch = epoch + 1, finished_at = now(),
    entries = '[]', content = '', user_message = '', system_prompt = NULL, metadata = '{}', tool_results = '[]',
    response = NULL, ended_event_id = NULL,
    usage = '{"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}'
WHERE user_id = $1 AND status = 'running' RETURNING *"""
_BLANK_ALL_TURNS = """
UPDATE turns SET user_message = '', content = '', entries = '[]', tool_calls = NULL, system_prompt = NULL,
    metadata = '{}', tool_results = '[]', response = NULL
WHERE user_id = $1"""
_LOCK_BUDGETS = 'SELECT FROM budgets WHERE user_id = $1 ORDER BY period COLLATE "C" FOR UPDATE'
_LATE_TURNS = f"""
SELECT DISTINCT t.conversation_id FROM turns AS t JOIN conversations AS c ON c.id = t.conversation_id
WHERE c.deleted_at IS NOT NULL AND t.status <> 'running' AND {_HAS_CONTENT} LIMIT 1000"""  # noqa: S608 - only a constant is interpolated
_NOT_DELETED = """
SELECT id FROM unnest($1::uuid[]) AS id
WHERE NOT EXISTS (SELECT FROM conversations AS c WHERE c.id = id.id AND c.deleted_at IS NOT NULL)"""
_COMPARED_UNTIL = "SELECT compared_until FROM comparisons WHERE name = 'deletions'"
_RECORD_COMPARISON = """
INSERT INTO comparisons AS c (name, compared_until) VALUES ('deletions', $1)
ON CONFLICT (name) DO UPDATE SET compared_until = greatest(c.compared_until, excluded.compared_until)"""


class PostgresTurnErasureStore:
    """Deletion of conversations and erasure of accounts."""

    def __init__(self, turns: PostgresTurnStore) -> None:
        self._turns = turns

    async def delete_conversation(self, conversation_id: UUID, user_id: UUID, deleted_at: datetime) -> list[UUID]:
        """Store a tombstone and blank the content; returns the running turns, which must be cancelled."""
        async with self._turns.connection() as connection, connection.transaction():
            await allow_long_statements(connection, ERASURE_TIMEOUT)
            await connection.execute(_DELETE_CONVERSATION, conversation_id, user_id, deleted_at)
            running = await connection.fetch(_CANCEL_CONVERSATION, conversation_id, timeout=ERASURE_TIMEOUT)
            await _blank(connection, [conversation_id])
        return [row["id"] for row in running]

    async def cancel_all(self, user_id: UUID) -> list[UUID]:
        """Request cancellation of a user's running turns; returns their ids."""
        async with self._turns.connection() as connection:
            return [row["id"] for row in await connection.fetch(_CANCEL_USER, user_id)]

    async def erase(self, user_id: UUID, erasure_id: str) -> list[tuple[UUID, int]]:
        """Erase a user and confirm it in one transaction; returns ids and epochs of the turns that were running."""
        async with self._turns.connection() as connection, connection.transaction():
            await allow_long_statements(connection, ERASURE_TIMEOUT)
            await connection.execute(_ERASE_ACCOUNT, user_id, timeout=ERASURE_TIMEOUT)
            await connection.execute(_DELETE_KEYS, user_id, timeout=ERASURE_TIMEOUT)
            conversations = await connection.fetch(_ERASE_CONVERSATIONS, user_id, timeout=ERASURE_TIMEOUT)
            turns = await connection.fetch(_LOCK_TURNS, user_id, timeout=ERASURE_TIMEOUT)
            running = [to_turn(row) for row in await connection.fetch(_END_RUNNING, user_id, timeout=ERASURE_TIMEOUT)]
            await connection.execute(_BLANK_ALL_TURNS, user_id, timeout=ERASURE_TIMEOUT)
            await connection.execute(_LOCK_BUDGETS, user_id)
            await connection.execute("DELETE FROM budgets WHERE user_id = $1", user_id)
            for turn in sorted(running, key=_partition_key):
                await _publish_end(connection, turn)
            keys = [str(row["id"]) for row in (*conversations, *turns)]
            await connection.execute(_BLANK_EVENTS, keys, timeout=ERASURE_TIMEOUT)
            await _confirm(connection, user_id, erasure_id)
        self._turns.hint()
        return [(turn.id, turn.epoch) for turn in running]

    async def not_deleted(self, conversation_ids: Collection[UUID]) -> set[UUID]:
        """Return the conversations of this list that are not marked as deleted."""
        async with self._turns.connection() as connection:
            return {row["id"] for row in await connection.fetch(_NOT_DELETED, list(conversation_ids))}

    async def deletions_compared_until(self) -> datetime | None:
        """Return until when deletions were compared with history, or None."""
        async with self._turns.connection() as connection:
            found: datetime | None = await connection.fetchval(_COMPARED_UNTIL)
            return found

    async def record_comparison(self, until: datetime) -> None:
        """Record until when deletions were compared with history."""
        async with self._turns.connection() as connection:
            await connection.execute(_RECORD_COMPARISON, until)

    async def blank_late_turns(self) -> int:
        """Blank turns that ended after their conversation was deleted; returns the number of conversations."""
        async with self._turns.connection() as connection, connection.transaction():
            await allow_long_statements(connection, ERASURE_TIMEOUT)
            rows = await connection.fetch(_LATE_TURNS, timeout=ERASURE_TIMEOUT)
            found = [row["conversation_id"] for row in rows]
            if found:
                await _blank(connection, found)
        return len(found)


async def _blank(connection: Connection, conversations: Sequence[UUID]) -> None:
    await connection.execute(_BLANK_TURNS, list(conversations), timeout=ERASURE_TIMEOUT)
    await connection.execute(_BLANK_EVENTS, [str(key) for key in conversations], timeout=ERASURE_TIMEOUT)


async def _publish_end(connection: Connection, turn: Turn) -> None:
    event_id, key = new_id(), _partition_key(turn)
    body = orjson.Fragment(ended_event(turn, _blank_end()).model_dump_json())
    await connection.execute(
        "SELECT outbox_append($1, 'conversation.turn.cancelled', $2, $2, $3, $4)",
        event_id,
        key,
        body,
        current_traceparent(),
    )
    await connection.execute("UPDATE turns SET ended_event_id = $2 WHERE id = $1", turn.id, event_id)


def _partition_key(turn: Turn) -> str:
    return str(turn.conversation_id or turn.id)


async def _confirm(connection: Connection, user_id: UUID, erasure_id: str) -> None:
    data = UserErasureConfirmed(user_id=user_id, erasure_id=erasure_id, service="chat", at=times.now())
    event_id = await outbox.append(connection, "user.erasure_confirmed", data, subject=user_id)
    # History does not confirm this event; without a confirmation it would never be purged.
    await connection.execute("UPDATE outbox SET confirmed_at = now() WHERE id = $1", event_id)


def _blank_end() -> Outcome:
    return Outcome(
        status="cancelled",
        finish_reason="cancelled",
        entries=(),
        content="",
        tool_calls=None,
        usage=EMPTY_USAGE,
        cost=None,
        price_version=None,
        provider=None,
        provider_model=None,
        error=None,
        finished_at=times.now(),
    )
