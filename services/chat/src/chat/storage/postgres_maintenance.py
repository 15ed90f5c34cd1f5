"""Confirmation, republication and purging of events in Postgres."""

from collections.abc import Collection
from uuid import UUID

from chat.events.maintenance_store import UnconfirmedTurn
from chat.storage.claimed_runs import CLAIM_RUN
from chat.storage.postgres_turns import PostgresTurnStore
from parley.messaging.outbox.store import purge
from parley.storage.postgres import row_count

# A position that is never NULL, because a generic plan has no index for "$2 IS NULL OR …": see docs/query-plans.md.
_UNCONFIRMED = """
SELECT id, finished_at FROM turns
WHERE confirmed_at IS NULL AND finished_at < now() - make_interval(secs => $1)
  AND (finished_at, id) > (
      coalesce($2::timestamptz, '-infinity'), coalesce($3::uuid, '00000000-0000-0000-0000-000000000000'))
ORDER BY finished_at, id LIMIT $4"""
# Every statement on several rows locks them in the order of their keys first, or skips locked ones: see docs/locks.md.
_CONFIRM = """
WITH locked AS (
    SELECT id FROM turns WHERE id = ANY ($1::uuid[]) AND confirmed_at IS NULL ORDER BY id FOR NO KEY UPDATE
), confirmed AS (
    UPDATE turns AS t SET confirmed_at = now() FROM locked WHERE t.id = locked.id
    RETURNING t.started_event_id, t.ended_event_id
), events AS (
    SELECT o.id FROM outbox AS o
    WHERE o.id IN (SELECT unnest(ARRAY[c.started_event_id, c.ended_event_id]) FROM confirmed AS c)
    ORDER BY o.id FOR NO KEY UPDATE
)
UPDATE outbox AS o SET confirmed_at = now() FROM events WHERE o.id = events.id"""
# An event in a long queue is not lost, so its republication interval doubles up to a bound. SKIP LOCKED lets replicas
# work at the same time.
_REPUBLISH = """
WITH lost AS (
    SELECT o.id FROM outbox AS o
    WHERE o.id = ANY (ARRAY(
            SELECT unnest(ARRAY[t.started_event_id, t.ended_event_id]) FROM turns AS t WHERE t.id = ANY ($1::uuid[])))
      AND o.sent_at < now() - make_interval(
          secs => least(greatest($2, extract(epoch FROM o.sent_at - o.time)), 16 * $2))
    FOR UPDATE OF o SKIP LOCKED
)
UPDATE outbox AS o SET sent_at = NULL, next_attempt_at = NULL FROM lost AS l WHERE o.id = l.id
RETURNING o.id"""
# The physical places of the locked rows: no plan but to go there, see docs/query-plans.md.
_PURGE_TURNS = """
DELETE FROM turns WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM turns WHERE confirmed_at IS NOT NULL AND finished_at < now() - make_interval(secs => $1)
    ORDER BY finished_at LIMIT 1000 FOR UPDATE SKIP LOCKED
))"""
_PURGE_KEYS = """
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '25 hours'
    ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED
))"""
# A row for each process: the table is small, and each renewal of a lease would have to change an index.
_PURGE_RUNNERS = """
WITH old AS (SELECT id FROM runners WHERE until < now() - interval '1 hour' FOR UPDATE SKIP LOCKED)
DELETE FROM runners AS r USING old WHERE r.id = old.id"""
_PURGE_BUDGETS = """
DELETE FROM budgets WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM budgets WHERE period < to_char(now() - interval '62 days', 'YYYY-MM-DD')
    ORDER BY period LIMIT 1000 FOR UPDATE SKIP LOCKED
))"""


class PostgresMaintenanceStore:
    """Maintenance of events, in the database of the turns."""

    def __init__(self, turns: PostgresTurnStore) -> None:
        self._turns = turns

    async def claim_run(self, name: str, interval: float) -> bool:
        """Return whether the caller runs a task that no replica has begun within ``interval`` seconds."""
        async with self._turns.connection() as connection:
            return bool(await connection.fetchval(CLAIM_RUN, name, interval))

    async def unconfirmed(
        self, after: UnconfirmedTurn | None, *, older_than: float, limit: int
    ) -> list[UnconfirmedTurn]:
        """Return a page of finished turns without confirmation, oldest first."""
        seen = (after.finished_at, after.turn_id) if after else (None, None)
        async with self._turns.connection() as connection:
            rows = await connection.fetch(_UNCONFIRMED, older_than, *seen, limit)
        return [UnconfirmedTurn(row["id"], row["finished_at"]) for row in rows]

    async def confirm(self, turn_ids: Collection[UUID]) -> None:
        """Record that history has stored these turns."""
        async with self._turns.connection() as connection:
            await connection.execute(_CONFIRM, list(turn_ids))

    async def republish(self, turn_ids: Collection[UUID], *, older_than: float) -> int:
        """Republish the events of turns that were published more than ``older_than`` seconds ago; returns the count."""
        async with self._turns.connection() as connection:
            return len(await connection.fetch(_REPUBLISH, list(turn_ids), older_than))

    async def purge(self, *, turns: float, events: float) -> int:
        """Delete a batch of each kind of row, and return how many.

        The ages of confirmed turns and events are in seconds.
        """
        async with self._turns.connection() as connection:
            done = [await connection.execute(_PURGE_TURNS, turns)]
            done += [await connection.execute(each) for each in (_PURGE_KEYS, _PURGE_RUNNERS, _PURGE_BUDGETS)]
            return sum(map(row_count, done)) + await purge(connection, retention=events, confirmed_only=True)
