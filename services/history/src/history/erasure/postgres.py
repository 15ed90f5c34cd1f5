"""Erasure of a user's data in Postgres."""

from history.database import Database
from parley.messaging import outbox
from parley.storage.postgres import allow_long_statements
from parley.times import now
from parley_events.cloudevents import CloudEvent
from parley_events.models import UserErased, UserErasureConfirmed

ERASURE_TIMEOUT = 50.0
"""Seconds for each statement: a user may have millions of messages."""

# Tables in the order in which every transaction locks them, the outbox last: see docs/locks.md. The deleted
# conversations of a user, which no index has, are found by their tombstones.
_ERASE = (
    "INSERT INTO user_tombstones (user_id, erased_at) VALUES ($1, now()) ON CONFLICT DO NOTHING",
    """
    INSERT INTO conversation_tombstones (conversation_id, user_id, deleted_at, purge_after, purged_at)
    SELECT id, user_id, now(), now(), now() FROM conversations WHERE user_id = $1 AND deleted_at IS NULL ORDER BY id
    ON CONFLICT DO NOTHING""",
    "UPDATE conversation_tombstones SET purged_at = now() WHERE user_id = $1 AND purged_at IS NULL",
    """
    DELETE FROM conversations WHERE id = ANY(ARRAY(
        SELECT conversation_id FROM conversation_tombstones WHERE user_id = $1))""",
    "DELETE FROM search_segments WHERE user_id = $1",
    "DELETE FROM turns WHERE user_id = $1",
    "DELETE FROM feed WHERE user_id = $1",
    "DELETE FROM feed_heads WHERE user_id = $1",
    "DELETE FROM import_keys WHERE user_id = $1",
    """
    WITH locked AS (
        SELECT id FROM outbox
        WHERE name IN ('conversation.created', 'conversation.updated') AND partition_key = ANY(ARRAY(
            SELECT conversation_id::text FROM conversation_tombstones WHERE user_id = $1))
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE outbox AS o SET data = o.data || CASE o.name
        WHEN 'conversation.created' THEN '{"title": null, "metadata": {}}'::jsonb ELSE '{"changed": {}}'::jsonb END
    FROM locked WHERE o.id = locked.id""",
)


class PostgresUserDataEraser:
    """Deletes the data of erased users and leaves tombstones, so that late events store nothing again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self, event: CloudEvent, data: UserErased) -> None:
        """Delete everything of the user in one transaction, and confirm it through the outbox. Safe to repeat."""
        confirmed = UserErasureConfirmed(user_id=data.user_id, erasure_id=data.erasure_id, service="history", at=now())
        async with self._database.transaction() as connection:
            await allow_long_statements(connection, ERASURE_TIMEOUT)
            await connection.execute("SELECT lock_person($1)", data.user_id)
            await connection.execute(
                "INSERT INTO inbox (event_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", event.id, event.name
            )
            for statement in _ERASE:
                await connection.execute(statement, data.user_id, timeout=ERASURE_TIMEOUT)
            await outbox.append(connection, "user.erasure_confirmed", confirmed, subject=data.user_id)
