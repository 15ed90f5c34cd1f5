"""Password resets in Postgres. Every change locks the account before its tokens, or two could wait for each other."""

from datetime import datetime
from uuid import UUID

from auth.accounts.store import to_user
from auth.audit import store as audit
from auth.database import Database
from auth.model import Origin, User
from auth.revocations.store import Revoker

_LOCK = "SELECT FROM users WHERE id = $1 FOR UPDATE"
_LOCK_OWNER = """
SELECT FROM users AS u JOIN password_resets AS r ON r.user_id = u.id WHERE r.digest = $1 FOR UPDATE OF u"""
_ISSUE = """
INSERT INTO password_resets (digest, user_id, expires_at)
SELECT $1, id, now() + make_interval(secs => $3) FROM users WHERE id = $2 RETURNING expires_at"""
_ACCOUNT = "SELECT * FROM users WHERE email_key = $1 AND status = 'active' FOR UPDATE"
_REQUEST = """
INSERT INTO password_resets (digest, user_id, expires_at)
SELECT $1, $2, now() + make_interval(secs => $3) WHERE NOT EXISTS (
    SELECT FROM password_resets WHERE user_id = $2 AND expires_at > now() + make_interval(secs => $3 - $4))
RETURNING user_id"""
_FIND = """
SELECT u.* FROM users AS u JOIN password_resets AS r ON r.user_id = u.id
WHERE r.digest = $1 AND r.expires_at > now()"""
_USE = "DELETE FROM password_resets WHERE digest = $1 AND expires_at > now() RETURNING user_id"
_PASSWORD = "UPDATE users SET password_hash = $2, updated_at = now() WHERE id = $1"  # noqa: S105 - a statement
_FORGET = "DELETE FROM password_resets WHERE user_id = $1"
_PURGE = """
DELETE FROM password_resets WHERE digest IN (
    SELECT digest FROM password_resets WHERE expires_at < now() LIMIT 1000 FOR UPDATE SKIP LOCKED)"""


class PostgresResets:
    """Stores password resets."""

    def __init__(self, database: Database, revoker: Revoker) -> None:
        """Take the database, and what ends sessions."""
        self._database, self._revoker = database, revoker

    async def issue(self, user_id: UUID, digest: bytes, lifetime: int, origin: Origin) -> datetime | None:
        """Store a token, the only one of its account, and return when it ends; None without such an account."""
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK, user_id)
            await connection.execute(_FORGET, user_id)
            await connection.execute(_PURGE)
            expires_at: datetime | None = await connection.fetchval(_ISSUE, digest, user_id, float(lifetime))
            if expires_at is not None:
                await audit.record(connection, "password_reset.issued", origin, user_id)
            return expires_at

    async def request(self, email_key: str, digest: bytes, *, lifetime: int, pause: int, origin: Origin) -> User | None:
        """Store a token; earlier ones stay, or strangers could void a link that somebody is about to use."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_ACCOUNT, email_key)
            if row is None:
                return None
            user = to_user(row)
            await connection.execute(_PURGE)
            stored = await connection.fetchval(_REQUEST, digest, user.id, float(lifetime), float(pause))
            if stored is None:
                return None
            await audit.record(connection, "password_reset.requested", origin, user.id)
            return user

    async def find(self, digest: bytes) -> User | None:
        """Return the account of a token that may still be used."""
        row = await self._database.row(_FIND, digest)
        return to_user(row) if row else None

    async def use(self, digest: bytes, password_hash: str, origin: Origin) -> bool:
        """Set the password and end every session; False when the token is not valid (any more)."""
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK_OWNER, digest)
            user_id: UUID | None = await connection.fetchval(_USE, digest)
            if user_id is None:
                return False
            await connection.execute(_PASSWORD, user_id, password_hash)
            await connection.execute(_FORGET, user_id)
            await self._revoker.end_sessions(connection, user_id, "password_change")
            await audit.record(connection, "password.reset", origin, user_id)
            return True
