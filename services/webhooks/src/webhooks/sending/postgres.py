"""The queue of due deliveries in Postgres: claims with a lease, and outcomes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from webhooks.database import Database, Row
from webhooks.deliveries.model import ALWAYS_DELIVERED
from webhooks.endpoints.disabling import disable_webhooks

LEASE = 12.0
"""Seconds until the deliveries of a process that ended are sent by another one."""
RENEWAL_INTERVAL = LEASE / 3
MAX_WEBHOOKS = 50
"""Webhooks that one claim looks at."""
MAX_LAST_KEYS = 1000
"""Ordered webhooks whose last key is kept in memory. Without it, a claim starts at the first key."""

_OPEN = "d.status IN ('pending', 'failed')"
_DUE = f"{_OPEN} AND d.next_attempt_at <= now()"
# Requests that a webhook may get now, at most $2 at once. A webhook that fails gets one at a time.
_FREE = """CASE WHEN w.failing_since IS NULL THEN $2 ELSE 1 END - (
        SELECT count(*) FROM deliveries AS d
        WHERE d.webhook_id = w.id AND d.claim IS NOT NULL AND d.claimed_until > now())"""
# Locked, so that two processes never count the claims of one webhook at the same time. Webhooks that fail come last.
_WEBHOOKS = f"""
SELECT w.id FROM webhooks AS w
WHERE w.status = 'active' AND (w.failing_since IS NULL OR NOT $1)
  AND EXISTS (SELECT FROM deliveries AS d WHERE d.webhook_id = w.id AND {_DUE})
  AND {_FREE} > 0
ORDER BY w.failing_since IS NOT NULL, random() LIMIT {MAX_WEBHOOKS} FOR NO KEY UPDATE SKIP LOCKED"""  # noqa: S608
# Walks over the keys with open deliveries, from the key after the last one claimed, so that each key has its turn.
# It reads one delivery of each key, however many wait behind a first one that is retried later.
_HEADS = f"""
WITH RECURSIVE walk AS (
    SELECT r.last_key AS key, 0 AS step, false AS wrapped
    UNION ALL
    SELECT next.key, walk.step + 1, next.wrapped FROM walk CROSS JOIN LATERAL (
        (SELECT d.partition_key AS key, walk.wrapped FROM deliveries AS d
         WHERE d.webhook_id = r.id AND {_OPEN} AND d.partition_key > walk.key ORDER BY d.partition_key LIMIT 1)
        UNION ALL
        (SELECT d.partition_key, true FROM deliveries AS d
         WHERE NOT walk.wrapped AND d.webhook_id = r.id AND {_OPEN} ORDER BY d.partition_key LIMIT 1)
        LIMIT 1
    ) AS next WHERE NOT (next.wrapped AND next.key > r.last_key)
)
SELECT head.id FROM walk CROSS JOIN LATERAL (
    SELECT d.id, d.next_attempt_at FROM deliveries AS d
    WHERE d.webhook_id = r.id AND d.partition_key = walk.key AND {_OPEN} ORDER BY d.position LIMIT 1
) AS head WHERE walk.step > 0 AND head.next_attempt_at <= now() LIMIT greatest(r.free, 0)"""  # noqa: S608 - constants
# An event about an erased user is never sent: its delivery is deleted, and the event soon after it.
CLAIM = f"""
WITH room AS (
    SELECT w.*, given.last_key, {_FREE} AS free
    FROM unnest($1::uuid[], $6::text[]) AS given (id, last_key) JOIN webhooks AS w ON w.id = given.id
), found AS (
    SELECT found.* FROM (
        SELECT free.* FROM room AS r CROSS JOIN LATERAL (
            SELECT d.id, d.event_id, d.next_attempt_at FROM deliveries AS d WHERE d.webhook_id = r.id AND {_DUE}
            ORDER BY d.next_attempt_at, d.position LIMIT greatest(r.free, 0) FOR NO KEY UPDATE OF d SKIP LOCKED
        ) AS free WHERE NOT r.ordered
        UNION ALL
        SELECT first.* FROM room AS r CROSS JOIN LATERAL (
            SELECT d.id, d.event_id, d.next_attempt_at FROM ({_HEADS}) AS head JOIN deliveries AS d ON d.id = head.id
            WHERE {_DUE} FOR NO KEY UPDATE OF d SKIP LOCKED
        ) AS first WHERE r.ordered
    ) AS found ORDER BY found.next_attempt_at LIMIT $3
), read AS (
    SELECT f.id, f.next_attempt_at, e.size, EXISTS (
        SELECT FROM user_tombstones AS t WHERE t.user_id = e.user_id AND e.name <> ALL ($8) OFFSET 0
    ) AS erased
    FROM found AS f CROSS JOIN LATERAL (
        SELECT octet_length(body) AS size, user_id, name FROM events WHERE id = f.event_id OFFSET 0
    ) AS e
), dropped AS (
    DELETE FROM deliveries AS d USING read WHERE d.id = read.id AND read.erased
), due AS (
    SELECT id, sum(size) OVER (ORDER BY next_attempt_at, id) - size AS size_before FROM read WHERE NOT erased
), claimed AS (
    UPDATE deliveries AS d SET claim = $4, claimed_until = now() + make_interval(secs => $5),
        next_attempt_at = now() + make_interval(secs => $5)
    FROM due WHERE d.id = due.id AND due.size_before < $7
    RETURNING d.id, d.webhook_id, d.event_id, d.attempt, d.position, d.partition_key
)
SELECT c.*, e.body, r.url, r.user_id, r.secret, r.ordered,
    CASE WHEN r.previous_secret_until > now() THEN r.previous_secret END AS previous_secret
FROM claimed AS c JOIN room AS r ON r.id = c.webhook_id JOIN events AS e ON e.id = c.event_id
ORDER BY c.position"""  # noqa: S608 - only constants are interpolated
# A locked row gets its outcome now.
_RENEW = """
WITH mine AS (SELECT id FROM deliveries WHERE claim = ANY ($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
UPDATE deliveries AS d SET claimed_until = now() + make_interval(secs => $2),
    next_attempt_at = now() + make_interval(secs => $2)
FROM mine WHERE d.id = mine.id"""
# Locks the webhook first, as its deletion does.
_FINISH = """
WITH locked AS (SELECT id FROM webhooks WHERE id = $8 FOR KEY SHARE)
UPDATE deliveries SET status = $3, attempt = attempt + 1, claim = NULL, claimed_until = NULL, attempted_at = now(),
    next_attempt_at = now() + make_interval(secs => $4), response_status = $5, latency_ms = $6, error = $7
WHERE id = $1 AND claim = $2 AND webhook_id = (SELECT id FROM locked)"""
# One statement, because each round trip slows down the delivery of what a receiver missed.
_DELIVERED = f"""
WITH finished AS ({_FINISH} RETURNING webhook_id)
UPDATE webhooks SET failing_since = NULL FROM finished
WHERE webhooks.id = finished.webhook_id AND failing_since IS NOT NULL"""  # noqa: S608 - only constants are interpolated
_URL = "SELECT url FROM webhooks WHERE id = $1 FOR KEY SHARE"
_FAILING = "UPDATE webhooks SET failing_since = now() WHERE id = $1 AND failing_since IS NULL"
_FAILING_TOO_LONG = """
SELECT id FROM webhooks
WHERE id = $1 AND status = 'active' AND failing_since < now() - make_interval(secs => $2) FOR NO KEY UPDATE"""
_BACKLOG = f"""
SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(d.next_attempt_at)), 0) AS age,
    coalesce(extract(epoch FROM now() - min(d.next_attempt_at)
        FILTER (WHERE w.failing_since IS NULL AND NOT w.ordered)), 0) AS healthy_age
FROM deliveries AS d JOIN webhooks AS w ON w.id = d.webhook_id AND w.status = 'active'
WHERE {_DUE}"""  # noqa: S608 - only constants are interpolated


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery that this process sends now. ``attempt`` counts the attempts before."""

    id: UUID
    claim: UUID
    webhook_id: UUID
    event_id: UUID
    attempt: int
    url: str
    body: bytes
    sealed_secrets: tuple[bytes, ...]
    owner: UUID
    """The user of the webhook."""


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """What became of an attempt. ``retry_after``: seconds to the next one, or None if there is none."""

    status: str
    retry_after: float | None
    response_status: int | None
    latency_ms: int
    error: str | None
    gone: bool = False


class PostgresDeliveryQueue:
    """Deliveries that are due, for any number of processes."""

    def __init__(self, database: Database, *, max_in_flight: int, disable_after: float, lease: float = LEASE) -> None:
        """``max_in_flight``: requests at once to a webhook. ``disable_after``: seconds of failures."""
        self._database, self._lease = database, lease
        self._max_in_flight, self._disable_after = max_in_flight, disable_after
        self._last_keys: dict[UUID, str] = {}
        """The last claimed key of each ordered webhook. The next claim starts at the key after it."""

    async def claim(self, limit: int, size: int, *, only_healthy: bool) -> Sequence[ClaimedDelivery]:
        """Claim deliveries that are due, at most ``limit``, until their bodies have ``size`` bytes together.

        ``only_healthy``: not those of webhooks that fail.
        """
        claim = uuid4()
        async with self._database.transaction() as connection:
            webhooks = await connection.fetch(_WEBHOOKS, only_healthy, self._max_in_flight)
            if not webhooks:
                return []
            ids = [row["id"] for row in webhooks]
            last_keys = [self._last_keys.get(each, "") for each in ids]
            values = (ids, self._max_in_flight, limit, claim, self._lease, last_keys, size, list(ALWAYS_DELIVERED))
            rows = await connection.fetch(CLAIM, *values)
        self._note_keys(rows)
        return [_claimed(row, claim) for row in rows]

    def _note_keys(self, rows: Sequence[Row]) -> None:
        if len(self._last_keys) > MAX_LAST_KEYS:
            self._last_keys.clear()
        self._last_keys |= {row["webhook_id"]: row["partition_key"] for row in rows if row["ordered"]}

    async def renew(self, claims: Collection[UUID]) -> None:
        """Keep claims whose requests have no outcome yet."""
        await self._database.execute(_RENEW, list(claims), self._lease)

    async def finish(self, delivery: ClaimedDelivery, outcome: AttemptOutcome) -> None:
        """Record an outcome, unless the delivery was claimed or requested again meanwhile."""
        if outcome.status == "delivered":
            await self._database.execute(_DELIVERED, *_values(delivery, outcome))
            return
        async with self._database.transaction() as connection:
            if await connection.fetchval(_URL, delivery.webhook_id) != delivery.url:
                # The failure of another address says nothing about this one, which gets the delivery now.
                outcome = replace(outcome, status="failed", retry_after=0.0)
                await connection.execute(_FINISH, *_values(delivery, outcome))
                return
            if await connection.execute(_FINISH, *_values(delivery, outcome)) == "UPDATE 0":
                return
            if outcome.gone:
                await disable_webhooks(connection, [delivery.webhook_id], "gone")
            else:
                await connection.execute(_FAILING, delivery.webhook_id)
                late = await connection.fetch(_FAILING_TOO_LONG, delivery.webhook_id, self._disable_after)
                await disable_webhooks(connection, [row["id"] for row in late], "failing")

    async def backlog(self) -> dict[str, float]:
        """Return the number of deliveries that are due, and the seconds for which the oldest has been.

        The last number leaves out webhooks whose receiver fails, and ordered ones, whose events wait for each other.
        """
        row = await self._database.row(_BACKLOG)
        assert row is not None
        return {
            "due": row["waiting"],
            "oldest_due_s": round(float(row["age"]), 1),
            "oldest_due_healthy_s": round(float(row["healthy_age"]), 1),
        }


def _values(delivery: ClaimedDelivery, outcome: AttemptOutcome) -> tuple[object, ...]:
    return (
        *(delivery.id, delivery.claim, outcome.status, outcome.retry_after, outcome.response_status),
        *(outcome.latency_ms, outcome.error, delivery.webhook_id),
    )


def _claimed(row: Row, claim: UUID) -> ClaimedDelivery:
    secrets = tuple(each for each in (row["secret"], row["previous_secret"]) if each is not None)
    return ClaimedDelivery(
        id=row["id"],
        claim=claim,
        webhook_id=row["webhook_id"],
        event_id=row["event_id"],
        attempt=row["attempt"],
        url=row["url"],
        body=row["body"],
        sealed_secrets=secrets,
        owner=row["user_id"],
    )
