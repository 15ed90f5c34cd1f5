"""Erasure of a user's data in Postgres, in batches."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from history.database import Database
from parley.messaging import outbox
from parley.storage.erasure import ERASURE_TIMEOUT, WORK_TIME, WorkTime
from parley.storage.postgres import Connection, allow_long_statements
from parley.times import now
from parley_events.cloudevents import CloudEvent
from parley_events.models import UserErased, UserErasureConfirmed

CONVERSATION_BATCH_SIZE, ROW_BATCH_SIZE = 10, 5_000
"""Conversations, with all their messages, and rows of other tables that one transaction deletes."""

_TOMBSTONE = "INSERT INTO user_tombstones (user_id, erased_at) VALUES ($1, now()) ON CONFLICT DO NOTHING"
# In the order of the index of a user's conversations, so that no plan reads those of others until the batch is full.
_LIVE = """
SELECT id FROM conversations WHERE user_id = $1 AND deleted_at IS NULL ORDER BY updated_at DESC, id DESC LIMIT $2"""
# The deleted conversations of a user, which no index has, are found by their tombstones.
_DELETED = """
SELECT conversation_id AS id FROM conversation_tombstones WHERE user_id = $1 AND purged_at IS NULL LIMIT $2"""
# Tables in the order in which every transaction locks them, the outbox last: see docs/locks.md.
_ERASE_CONVERSATIONS = (
    """
    INSERT INTO conversation_tombstones (conversation_id, user_id, deleted_at, purge_after, purged_at)
    SELECT id, user_id, now(), now(), now() FROM conversations
    WHERE id = ANY ($1::uuid[]) AND deleted_at IS NULL ORDER BY id
    ON CONFLICT DO NOTHING""",
    """
    WITH locked AS (
        SELECT conversation_id FROM conversation_tombstones
        WHERE conversation_id = ANY ($1::uuid[]) AND purged_at IS NULL ORDER BY conversation_id FOR NO KEY UPDATE
    )
    UPDATE conversation_tombstones AS t SET purged_at = now()
    FROM locked WHERE t.conversation_id = locked.conversation_id""",
    "DELETE FROM conversations WHERE id = ANY ($1::uuid[])",
    """
    WITH locked AS (
        SELECT id FROM outbox
        WHERE name IN ('conversation.created', 'conversation.updated') AND partition_key = ANY ($1::uuid[]::text[])
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE outbox AS o SET data = o.data || CASE o.name
        WHEN 'conversation.created' THEN '{"title": null, "metadata": {}}'::jsonb ELSE '{"changed": {}}'::jsonb END
    FROM locked WHERE o.id = locked.id""",
)
_HAS_ROWS = {
    table: f"SELECT EXISTS (SELECT FROM {table} WHERE user_id = $1)"  # noqa: S608 - only the names below
    for table in ("search_segments", "turns", "feed", "feed_heads", "import_keys")
}
# The physical places of the locked rows: no plan but to go there, see docs/query-plans.md.
_ERASE_ROWS = {
    table: f"""
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE user_id = $1 LIMIT $2 FOR UPDATE))"""  # noqa: S608 - only the names above
    for table in _HAS_ROWS
}


class PostgresUserDataEraser:
    """Deletes the data of erased users and leaves tombstones, so that late events store nothing again."""

    def __init__(
        self,
        database: Database,
        *,
        conversations: int = CONVERSATION_BATCH_SIZE,
        rows: int = ROW_BATCH_SIZE,
        work_time: float = WORK_TIME,
    ) -> None:
        """Delete so many ``conversations`` and ``rows`` in a transaction. End unfinished after ``work_time``."""
        self._database, self._conversations, self._rows, self._work_time = database, conversations, rows, work_time

    async def erase(self, event: CloudEvent, data: UserErased) -> None:
        """Delete everything of the user in batches, and confirm it through the outbox. Safe to repeat.

        The tombstone is committed first: nothing is added after it. Raises DependencyUnavailable if there is more to
        delete than time: the event is tried again, and that uses up no attempt.
        """
        time, user_id = WorkTime(self._work_time), data.user_id
        async with self._transaction(user_id) as connection:
            await connection.execute(_TOMBSTONE, user_id)
        for select in (_LIVE, _DELETED):
            while await self._erase_conversations(user_id, select):
                time.check()
        for table, erase_rows in _ERASE_ROWS.items():
            while await self._database.value(_HAS_ROWS[table], user_id):
                await self._execute(user_id, erase_rows, self._rows)
                time.check()
        confirmed = UserErasureConfirmed(user_id=user_id, erasure_id=data.erasure_id, service="history", at=now())
        async with self._transaction(user_id) as connection:
            await connection.execute(
                "INSERT INTO inbox (event_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", event.id, event.name
            )
            await outbox.append(connection, "user.erasure_confirmed", confirmed, subject=user_id)

    async def _erase_conversations(self, user_id: UUID, select: str) -> bool:
        """Erase a batch of conversations; return whether there were any."""
        async with self._transaction(user_id) as connection:
            rows = await connection.fetch(select, user_id, self._conversations, timeout=ERASURE_TIMEOUT)
            found = [row["id"] for row in rows]
            for statement in _ERASE_CONVERSATIONS if found else ():
                await connection.execute(statement, found, timeout=ERASURE_TIMEOUT)
        return bool(found)

    async def _execute(self, user_id: UUID, statement: str, *arguments: Any) -> None:
        async with self._transaction(user_id) as connection:
            await connection.execute(statement, user_id, *arguments, timeout=ERASURE_TIMEOUT)

    @asynccontextmanager
    async def _transaction(self, user_id: UUID) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction that holds the lock of a person."""
        async with self._database.transaction() as connection:
            await allow_long_statements(connection, ERASURE_TIMEOUT)
            await connection.execute("SELECT lock_person($1)", user_id, timeout=ERASURE_TIMEOUT)
            yield connection
