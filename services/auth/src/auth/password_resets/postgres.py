"""PostgreSQL store of password reset tokens.

Every change locks the account before its tokens, so that two changes cannot deadlock.
"""

from datetime import datetime
from uuid import UUID

from auth.accounts.model import User
from auth.accounts.postgres import record_change, to_user
from auth.audit import postgres as audit
from auth.audit.model import RequestOrigin
from auth.database import AccountDatabase
from auth.revocations.postgres import Revoker

_LOCK = "SELECT FROM users WHERE id = $1 FOR UPDATE"
_LOCK_OWNER = """
SELECT u.* FROM users AS u JOIN password_resets AS r ON r.user_id = u.id WHERE r.digest = $1 FOR UPDATE OF u"""
_ISSUE = """
INSERT INTO password_resets (digest, user_id, expires_at)
SELECT $1, id, now() + make_interval(secs => $3) FROM users WHERE id = $2 RETURNING expires_at"""
_ACCOUNT = "SELECT * FROM users WHERE email_key = $1 AND email_verified AND status = 'active' FOR UPDATE"
# OFFSET 0 keeps Postgres from reading the links of all users by their time: see docs/query-plans.md.
_REQUEST = """
INSERT INTO password_resets (digest, user_id, expires_at)
SELECT $1, $2, now() + make_interval(secs => $3) WHERE NOT EXISTS (
    SELECT FROM (SELECT expires_at FROM password_resets WHERE user_id = $2 OFFSET 0) AS own
    WHERE expires_at > now() + make_interval(secs => $3 - $4)
) RETURNING user_id"""
_FIND = """
SELECT u.* FROM users AS u JOIN password_resets AS r ON r.user_id = u.id
WHERE r.digest = $1 AND r.expires_at > now()"""
_USE = "DELETE FROM password_resets WHERE digest = $1 AND expires_at > now() RETURNING user_id"
_SET_HASH = """
UPDATE users SET password_hash = $2, updated_at = now(),
    status = CASE status WHEN 'invited' THEN 'active' ELSE status END
WHERE id = $1 RETURNING *"""
_DELETE_ALL = "DELETE FROM password_resets WHERE user_id = $1"
_PURGE = """
DELETE FROM password_resets WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM password_resets WHERE expires_at < now() ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED
))"""


class PostgresPasswordResetStore:
    """Password reset tokens in PostgreSQL."""

    def __init__(self, database: AccountDatabase, revoker: Revoker) -> None:
        self._database, self._revoker = database, revoker

    async def issue(self, user_id: UUID, digest: bytes, lifetime: int, origin: RequestOrigin) -> datetime | None:
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK, user_id)
            await connection.execute(_DELETE_ALL, user_id)
            await connection.execute(_PURGE)
            expires_at: datetime | None = await connection.fetchval(_ISSUE, digest, user_id, float(lifetime))
            if expires_at is not None:
                await audit.record(connection, "password_reset.issued", origin, user_id)
            return expires_at

    async def request(
        self, email_key: str, digest: bytes, *, lifetime: int, interval: int, origin: RequestOrigin
    ) -> User | None:
        # Earlier tokens stay valid, or strangers could void a link that its owner is about to use.
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_ACCOUNT, email_key)
            if row is None:
                return None
            user = to_user(row)
            await connection.execute(_PURGE)
            stored = await connection.fetchval(_REQUEST, digest, user.id, float(lifetime), float(interval))
            if stored is None:
                return None
            await audit.record(connection, "password_reset.requested", origin, user.id)
            return user

    async def find(self, digest: bytes) -> User | None:
        row = await self._database.row(_FIND, digest)
        return to_user(row) if row else None

    async def use(self, digest: bytes, password_hash: str, origin: RequestOrigin, *, end_api_keys: bool) -> bool:
        async with self._database.transaction() as connection:
            before = await connection.fetchrow(_LOCK_OWNER, digest)
            user_id: UUID | None = await connection.fetchval(_USE, digest)
            if before is None or user_id is None:
                return False
            row = await connection.fetchrow(_SET_HASH, user_id, password_hash)
            await connection.execute(_DELETE_ALL, user_id)
            keys = await self._revoker.end_password(connection, user_id, keep_session=None, api_keys=end_api_keys)
            await record_change(connection, to_user(before), row, "user.updated", origin)
            await audit.record(connection, "password.reset", origin, user_id, detail={"ended_api_keys": keys})
            return True
