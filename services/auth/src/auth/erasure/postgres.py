"""PostgreSQL store of erasures."""

from datetime import datetime
from uuid import UUID

from auth.accounts.last_admin import keep_an_admin
from auth.accounts.postgres import to_user
from auth.audit import postgres as audit
from auth.audit.model import RequestOrigin
from auth.database import AccountDatabase
from auth.erasure.model import Erasure
from auth.revocations.postgres import Revoker
from parley import times
from parley.messaging import outbox
from parley.storage.postgres import Connection
from parley_events.models import UserErased, UserErasureConfirmed

OWN_SERVICE = "auth"
OTHER_SERVICES = ("chat", "history", "webhooks")
_BEGIN = "INSERT INTO erasures (id, user_id) VALUES ($1, $2)"
_SERVICES = """
INSERT INTO erasure_services (erasure_id, service, confirmed_at)
SELECT $1, $2, now() UNION ALL SELECT $1, each, NULL FROM unnest($3::text[]) AS each"""
_FIND = """
SELECT e.*, s.service, s.confirmed_at FROM erasures AS e JOIN erasure_services AS s ON s.erasure_id = e.id
WHERE e.id = $1 ORDER BY s.service"""
_CONFIRM = """
UPDATE erasure_services SET confirmed_at = $3 WHERE erasure_id = $1 AND service = $2 AND confirmed_at IS NULL"""
_COMPLETE = """
UPDATE erasures AS e SET completed_at = now()
WHERE e.id = $1 AND e.completed_at IS NULL
  AND NOT EXISTS (SELECT FROM erasure_services AS s WHERE s.erasure_id = e.id AND s.confirmed_at IS NULL)"""
# An event that still waits in the outbox is late, not lost. The first condition is the one of the index.
_PENDING = """
UPDATE erasures SET asked_at = now() WHERE ctid = ANY (ARRAY(
    SELECT e.ctid FROM erasures AS e
    WHERE e.completed_at IS NULL AND e.asked_at < now() - make_interval(secs => least($1::float8, $2))
      AND e.asked_at < now() - make_interval(
          secs => least(greatest($1, extract(epoch FROM e.asked_at - e.requested_at)), $2))
      AND NOT EXISTS (
          SELECT FROM (SELECT name, sent_at FROM outbox WHERE partition_key = e.user_id::text OFFSET 0) AS o
          WHERE o.name = 'user.erased' AND o.sent_at IS NULL)
    ORDER BY e.asked_at LIMIT 1000 FOR UPDATE OF e SKIP LOCKED
)) RETURNING id, user_id"""


class PostgresErasureStore:
    """Erasures in PostgreSQL."""

    def __init__(self, database: AccountDatabase, revoker: Revoker) -> None:
        self._database, self._revoker = database, revoker

    async def erase(self, user_id: UUID, erasure_id: str, origin: RequestOrigin) -> Erasure | None:
        async with self._database.transaction() as connection:
            row = await connection.fetchrow("SELECT * FROM users WHERE id = $1 FOR UPDATE", user_id)
            if row is None:
                return None
            await self._revoker.lock_api_keys(connection, user_id)
            await self._revoker.end_sessions(connection, user_id, "erased")
            await self._revoker.revoke_user(connection, user_id, self._revoker.cutoff())
            await connection.execute("DELETE FROM users WHERE id = $1", user_id)
            await keep_an_admin(connection, to_user(row))
            await connection.execute(_BEGIN, erasure_id, user_id)
            await connection.execute(_SERVICES, erasure_id, OWN_SERVICE, list(OTHER_SERVICES))
            await _publish_erased(connection, user_id, erasure_id)
            done = UserErasureConfirmed(user_id=user_id, erasure_id=erasure_id, service=OWN_SERVICE, at=times.now())
            await outbox.append(connection, "user.erasure_confirmed", done, subject=user_id)
            await audit.record(connection, "user.erased", origin, user_id)
        return await self.find(erasure_id)

    async def find(self, erasure_id: str) -> Erasure | None:
        rows = await self._database.fetch(_FIND, erasure_id)
        if not rows:
            return None
        services = {row["service"]: "confirmed" if row["confirmed_at"] else "pending" for row in rows}
        first = rows[0]
        return Erasure(first["id"], first["user_id"], first["requested_at"], first["completed_at"], services)

    async def confirm(self, erasure_id: str, service: str, at: datetime) -> None:
        async with self._database.transaction() as connection:
            # The lock makes concurrent confirmations see each other, so that the last one completes the erasure.
            await connection.execute("SELECT FROM erasures WHERE id = $1 FOR UPDATE", erasure_id)
            await connection.execute(_CONFIRM, erasure_id, service, at)
            await connection.execute(_COMPLETE, erasure_id)

    async def republish_pending(self, *, after: float, at_most: float) -> int:
        async with self._database.transaction() as connection:
            pending = await connection.fetch(_PENDING, after, at_most)
            for row in pending:
                await _publish_erased(connection, row["user_id"], row["id"])
            return len(pending)


async def _publish_erased(connection: Connection, user_id: UUID, erasure_id: str) -> None:
    data = UserErased(user_id=user_id, erasure_id=erasure_id, at=times.now())
    await outbox.append(connection, "user.erased", data, subject=user_id)
