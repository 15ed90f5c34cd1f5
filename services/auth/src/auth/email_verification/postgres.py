"""PostgreSQL store of e-mail verification tokens.

Every change locks the account before its tokens, so that two changes cannot deadlock.
"""

from uuid import UUID

from auth.audit import postgres as audit
from auth.audit.model import RequestOrigin
from auth.database import AccountDatabase
from auth.email_verification.store import UnverifiedAddress

_ACCOUNT = """
SELECT username, email, email_key FROM users
WHERE id = $1 AND status = 'active' AND email IS NOT NULL AND NOT email_verified FOR UPDATE"""
_ISSUE = """
INSERT INTO email_verifications (digest, user_id, email_key, expires_at)
SELECT $1, $2, $3, now() + make_interval(secs => $4) WHERE NOT EXISTS (
    SELECT FROM email_verifications WHERE user_id = $2 AND created_at > now() - make_interval(secs => $5))
RETURNING user_id"""
_LOCK_OWNER = """
SELECT FROM users AS u JOIN email_verifications AS v ON v.user_id = u.id WHERE v.digest = $1 FOR UPDATE OF u"""
_USE = "DELETE FROM email_verifications WHERE digest = $1 AND expires_at > now() RETURNING user_id, email_key"
_VERIFIED = """
UPDATE users SET email_verified = true, updated_at = now() WHERE id = $1 AND email_key = $2 RETURNING id"""
_PURGE = """
DELETE FROM email_verifications WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM email_verifications WHERE expires_at < now() AND created_at < now() - interval '1 hour'
    ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED
))"""


class PostgresEmailVerificationStore:
    """E-mail verification tokens in PostgreSQL."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database

    async def issue(
        self, user_id: UUID, digest: bytes, *, lifetime: int, interval: int, origin: RequestOrigin
    ) -> UnverifiedAddress | None:
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_ACCOUNT, user_id)
            if row is None:
                return None
            await connection.execute(_PURGE)
            stored = await connection.fetchval(
                _ISSUE, digest, user_id, row["email_key"], float(lifetime), float(interval)
            )
            if stored is None:
                return None
            await audit.record(connection, "email_verification.requested", origin, user_id)
            return UnverifiedAddress(row["username"], row["email"])

    async def use(self, digest: bytes, origin: RequestOrigin) -> bool:
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK_OWNER, digest)
            row = await connection.fetchrow(_USE, digest)
            if row is None or not await connection.fetchval(_VERIFIED, row["user_id"], row["email_key"]):
                return False
            await audit.record(connection, "email.verified", origin, row["user_id"])
            return True
