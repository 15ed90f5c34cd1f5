"""The queue of due deliveries in Postgres: claims with a lease, and outcomes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from parley.storage.postgres import Connection, row_count
from webhooks.database import Database, Row
from webhooks.deliveries.model import ALWAYS_DELIVERED
from webhooks.endpoints.disabling import disable_webhooks
from webhooks.sending import claim_statements as sql

LEASE = 12.0
"""Seconds until the deliveries of a process that ended are sent by another one."""
RENEWAL_INTERVAL = LEASE / 3
MAX_BYTES_OF_USER = 25_000_000
"""Bytes of the bodies that one claim returns for the webhooks of one user, and the last body."""
MAX_LAST_KEYS = 1000
"""Ordered webhooks whose last key is kept in memory. Without it, a claim starts at the first key."""

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
    encrypted_secrets: tuple[bytes, ...]
    owner: UUID
    """The user of the webhook."""
    is_own: bool = True
    """Whether the webhook is for the user's own events. One for those of all users works for everybody."""


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
        """The last key of each ordered webhook that a claim has looked at. The next one starts at the key after it."""

    async def claim(
        self, limit: int, size: int, *, only_healthy: bool, without: Collection[UUID] = ()
    ) -> Sequence[ClaimedDelivery]:
        """Claim deliveries that are due, at most ``limit``, until their bodies have ``size`` bytes together.

        ``only_healthy``: not those of webhooks that fail. Of one user's webhooks for own events, until the bodies have
        ``MAX_BYTES_OF_USER``, and none of the users in ``without``.
        """
        claim = uuid4()
        async with self._database.transaction() as connection:
            webhooks = await connection.fetch(sql.WEBHOOKS, only_healthy, self._max_in_flight, list(without))
            if not webhooks:
                return []
            ids = [row["id"] for row in webhooks]
            last_keys = [self._last_keys.get(each, "") for each in ids]
            bounds = (size, list(ALWAYS_DELIVERED), MAX_BYTES_OF_USER)
            values = (ids, self._max_in_flight, limit, claim, self._lease, last_keys, *bounds)
            rows = await connection.fetch(sql.CLAIM, *values)
            claimed = {row["webhook_id"] for row in rows}
            idle = [row["id"] for row in webhooks if row["ordered"] and row["id"] not in claimed]
            walked = await self._walked(connection, idle) if idle and len(rows) < limit else {}
        self._note_keys({row["webhook_id"]: row["partition_key"] for row in rows if row["ordered"]} | walked)
        return [_claimed(row, claim) for row in rows]

    async def _walked(self, connection: Connection, webhooks: Sequence[UUID]) -> dict[UUID, str]:
        """Return the last key of each webhook whose next keys have nothing that is due."""
        last_keys = [self._last_keys.get(each, "") for each in webhooks]
        return {row["id"]: row["key"] for row in await connection.fetch(sql.WALKED, webhooks, last_keys)}

    def _note_keys(self, keys: Mapping[UUID, str]) -> None:
        if len(self._last_keys) > MAX_LAST_KEYS:
            self._last_keys.clear()
        self._last_keys |= keys

    async def renew(self, claims: Collection[UUID]) -> None:
        """Keep claims whose requests have no outcome yet."""
        await self._database.execute(_RENEW, list(claims), self._lease)

    async def finish(self, delivery: ClaimedDelivery, outcome: AttemptOutcome) -> AttemptOutcome:
        """Record an outcome, unless the delivery was claimed or requested again meanwhile; return what was recorded.

        If an attempt failed and the webhook has a new URL by now, that is a failure with a retry at once: it says
        nothing about the new URL.
        """
        if outcome.status == "delivered":
            await self._database.execute(_DELIVERED, *_values(delivery, outcome))
            return outcome
        async with self._database.transaction() as connection:
            if await connection.fetchval(_URL, delivery.webhook_id) != delivery.url:
                outcome = replace(outcome, status="failed", retry_after=0.0)
                await connection.execute(_FINISH, *_values(delivery, outcome))
                return outcome
            if not row_count(await connection.execute(_FINISH, *_values(delivery, outcome))):
                return outcome
            if outcome.gone:
                await disable_webhooks(connection, [delivery.webhook_id], "gone")
            else:
                await connection.execute(_FAILING, delivery.webhook_id)
                late = await connection.fetch(_FAILING_TOO_LONG, delivery.webhook_id, self._disable_after)
                await disable_webhooks(connection, [row["id"] for row in late], "failing")
        return outcome

    async def backlog(self) -> dict[str, float]:
        """Return the number of due deliveries, at most ``MAX_COUNTED``, and the seconds for which the oldest has been.

        The last number leaves out webhooks whose receiver fails, and ordered ones, whose events wait for each other.
        """
        row = await self._database.row(sql.BACKLOG)
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
        encrypted_secrets=secrets,
        owner=row["user_id"],
        is_own=row["is_own"],
    )
