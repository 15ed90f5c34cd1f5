"""Statements on the outbox table for the relay, for ``/status``, and for retention."""

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from parley.storage.postgres import row_count
from parley_events.cloudevents import CloudEvent

OutboxRow: TypeAlias = Any
"""A row of ``fetch_waiting``: an asyncpg record."""
FIRST_RETRY_DELAY, MAX_RETRY_DELAY = 0.2, 10.0
"""Seconds until a failed event is published again: doubled after each attempt, up to the maximum."""

MAX_COUNTED = 10_000
"""Waiting events that are counted: a leader counts each second, also after a day without a broker."""

# Selects by "not sent", never by "position > last seen": transactions do not commit in the order of their positions.
# The hashed keys are the only other condition. A join of waiting events with each other reads the whole backlog for
# each event of a batch, when the statistics are from before the outage: see docs/query-plans.md.
_WAITING = """
SELECT id, name, version, subject, partition_key, sequence, time, traceparent, data::text AS data
FROM outbox
WHERE sent_at IS NULL AND partition_key NOT IN (SELECT unnest($2::text[]))
ORDER BY position LIMIT $1"""
# Statements on several rows lock them in the order of their ids first: see docs/locks.md.
_SENT = """
WITH locked AS (SELECT id FROM outbox WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE)
UPDATE outbox AS o SET sent_at = now() FROM locked WHERE o.id = locked.id"""
_FAILED = """
WITH locked AS (SELECT id FROM outbox WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE)
UPDATE outbox AS o SET attempts = attempts + 1,
    next_attempt_at = now() + make_interval(secs => least($2 * 2 ^ least(attempts, 20), $3))
FROM locked WHERE o.id = locked.id
RETURNING o.partition_key, extract(epoch FROM o.next_attempt_at - now())::float8 AS delay"""
_BACKLOG = f"""
SELECT count(*) AS pending,
    (SELECT extract(epoch FROM now() - time) FROM outbox WHERE sent_at IS NULL ORDER BY position LIMIT 1) AS age
FROM (SELECT FROM outbox WHERE sent_at IS NULL LIMIT {MAX_COUNTED}) AS waiting"""  # noqa: S608 - only a constant
# The physical places of the locked rows: no plan but to go there, see docs/query-plans.md.
_PURGE = """
DELETE FROM outbox WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM outbox
    WHERE sent_at < now() - make_interval(secs => $1) AND (NOT $2 OR confirmed_at IS NOT NULL)
    ORDER BY sent_at LIMIT 1000 FOR UPDATE SKIP LOCKED
))"""


async def prepare(connection: Any) -> None:
    """Let the connection prepare and cache the statements of a leader, before it holds the leader's lock.

    PostgreSQL does not count a session as idle between the preparation of a statement and its execution. A leader that
    froze there would keep the lock until it wakes, although ``idle_session_timeout`` is over.
    """
    nothing: list[Any] = []
    await connection.fetch(_WAITING, 0, nothing)
    await connection.execute(_SENT, nothing)
    await connection.fetch(_FAILED, nothing, FIRST_RETRY_DELAY, MAX_RETRY_DELAY)
    await connection.fetchrow(_BACKLOG)


async def fetch_waiting(connection: Any, limit: int, *, without: Collection[str]) -> list[OutboxRow]:
    """Return the oldest waiting events, in order within each key, without the events of the given keys."""
    found: list[OutboxRow] = await connection.fetch(_WAITING, limit, list(without))
    return found


async def record(connection: Any, sent: Sequence[UUID], failed: Sequence[UUID]) -> dict[str, float]:
    """Record which events the bus has confirmed, and which have failed.

    Returns the keys of the failed ones, with the seconds until their events may be published again.
    """
    if sent:
        await connection.execute(_SENT, sent)
    rows = await connection.fetch(_FAILED, failed, FIRST_RETRY_DELAY, MAX_RETRY_DELAY) if failed else ()
    return {row["partition_key"]: row["delay"] for row in rows}


def to_event(row: OutboxRow, source: str) -> CloudEvent:
    """Return the event of an outbox row."""
    return CloudEvent(
        id=row["id"],
        source=source,
        name=row["name"],
        version=row["version"],
        subject=row["subject"],
        time=row["time"],
        partition_key=row["partition_key"],
        sequence=row["sequence"],
        data=row["data"].encode(),
        traceparent=row["traceparent"],
    )


async def backlog(connection: Any) -> dict[str, Any]:
    """Return the number of waiting events, at most ``MAX_COUNTED``, and the age of the oldest in seconds."""
    row = await connection.fetchrow(_BACKLOG)
    return {"pending": row["pending"], "oldest_age_s": round(float(row["age"] or 0), 1)}


async def purge(connection: Any, *, retention: float, confirmed_only: bool) -> int:
    """Delete up to 1,000 events that were sent more than ``retention`` seconds ago; return the number of deletions."""
    return row_count(await connection.execute(_PURGE, retention, confirmed_only))
