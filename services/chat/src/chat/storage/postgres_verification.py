"""Finished turns of chat's database, for verification against history."""

from uuid import UUID

from chat.events.verification import AcceptedTurn
from chat.storage.postgres_turns import PostgresTurnStore

_ACCEPTED = """
SELECT t.id, t.status, encode(sha256(convert_to(coalesce(t.content, ''), 'UTF8')), 'hex') AS sha256,
    t.confirmed_at IS NOT NULL AS confirmed, o.id IS NOT NULL AS has_event, o.sent_at IS NOT NULL AS sent,
    CASE WHEN t.response ? 'revision' THEN EXISTS (
        SELECT FROM (SELECT * FROM outbox WHERE partition_key = t.conversation_id::text OFFSET 0) AS r
        WHERE r.name = 'conversation.turn.redacted' AND r.data ->> 'turn_id' = t.id::text
            AND (r.sent_at IS NULL OR r.sent_at > now() - make_interval(secs => $1))
    ) ELSE false END AS redacting
FROM turns AS t
CROSS JOIN LATERAL (SELECT erased_at FROM accounts WHERE user_id = t.user_id OFFSET 0) AS a
LEFT JOIN LATERAL (SELECT deleted_at FROM conversations WHERE id = t.conversation_id OFFSET 0) AS c ON true
LEFT JOIN LATERAL (SELECT id, sent_at FROM outbox WHERE id = t.ended_event_id OFFSET 0) AS o ON true
WHERE t.finished_at < now() - make_interval(secs => $1) AND a.erased_at IS NULL AND c.deleted_at IS NULL
  AND t.id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
ORDER BY t.id LIMIT $3"""
_OVERDUE = """
SELECT id FROM turns WHERE status = 'running' AND deadline_at < now() - make_interval(secs => $1) LIMIT 1000"""
_TWO_ENDS = """
SELECT (data ->> 'turn_id')::uuid AS id FROM outbox
WHERE name = ANY ($1::text[]) GROUP BY data ->> 'turn_id' HAVING count(*) > 1"""
# Both lock their rows in the order of their keys first: see docs/locks.md.
_REPUBLISH = """
WITH locked AS (
    SELECT o.id FROM outbox AS o WHERE o.id IN (
        SELECT unnest(ARRAY[t.started_event_id, t.ended_event_id]) FROM turns AS t WHERE t.id = ANY ($1::uuid[])
        UNION ALL
        SELECT r.id FROM turns AS t JOIN outbox AS r ON r.partition_key = t.conversation_id::text
        WHERE t.id = ANY ($1::uuid[]) AND t.response ? 'revision'
            AND r.name = 'conversation.turn.redacted' AND r.data ->> 'turn_id' = t.id::text
    ) ORDER BY o.id FOR NO KEY UPDATE
)
UPDATE outbox AS o SET sent_at = NULL, next_attempt_at = NULL FROM locked WHERE o.id = locked.id RETURNING o.id"""
_UNCONFIRM = """
WITH locked AS (SELECT id FROM turns WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE)
UPDATE turns AS t SET confirmed_at = NULL FROM locked WHERE t.id = locked.id"""
TERMINAL_EVENTS = [f"conversation.turn.{status}" for status in ("completed", "incomplete", "failed", "cancelled")]


class PostgresVerificationSource:
    """Verification queries, in the database of the turns."""

    def __init__(self, turns: PostgresTurnStore) -> None:
        self._turns = turns

    async def accepted(self, after: UUID | None, *, older_than: float, limit: int) -> list[AcceptedTurn]:
        """Return a page of turns that finished at least ``older_than`` seconds ago and still have their content."""
        async with self._turns.connection() as connection:
            rows = await connection.fetch(_ACCEPTED, older_than, after, limit)
        return [
            AcceptedTurn(
                r["id"], r["status"], r["sha256"], r["confirmed"], r["has_event"], r["sent"], redacting=r["redacting"]
            )
            for r in rows
        ]

    async def overdue_turns(self, *, overdue: float) -> list[UUID]:
        """Return turns that run past their deadline."""
        async with self._turns.connection() as connection:
            return [row["id"] for row in await connection.fetch(_OVERDUE, overdue)]

    async def turns_with_two_ends(self) -> list[UUID]:
        """Return turns with more than one terminal event."""
        async with self._turns.connection() as connection:
            return [row["id"] for row in await connection.fetch(_TWO_ENDS, TERMINAL_EVENTS)]

    async def republish(self, turn_ids: list[UUID]) -> int:
        """Republish the events of turns; returns the count."""
        async with self._turns.connection() as connection:
            await connection.execute(_UNCONFIRM, turn_ids)
            return len(await connection.fetch(_REPUBLISH, turn_ids))
