"""PostgreSQL store of signing keys; the private halves are encrypted."""

from collections.abc import Sequence

from auth.audit import postgres as audit
from auth.audit.model import OPERATOR, SYSTEM
from auth.database import AccountDatabase, Row
from auth.signing_keys.model import StoredSigningKey

_LOCK_KEY = 0x6B657973
"""Advisory lock under which one replica at a time adds a key ("keys" in ASCII)."""
_ALL = "SELECT * FROM signing_keys WHERE retired_at IS NULL ORDER BY activates_at, created_at, kid"
_NEWEST = "SELECT kid FROM signing_keys ORDER BY activates_at DESC, created_at DESC, kid DESC LIMIT 1"
_INSERT = """
INSERT INTO signing_keys (kid, public_x, sealed, created_at, activates_at) VALUES ($1, $2, $3, $4, $5)"""
_RETIRE = "UPDATE signing_keys SET retired_at = now(), sealed = NULL WHERE kid = $1 AND retired_at IS NULL"


class PostgresSigningKeyStore:
    """Signing keys in PostgreSQL."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database

    async def all(self) -> Sequence[StoredSigningKey]:
        return [_key(row) for row in await self._database.fetch(_ALL)]

    async def add_if_newest_is(self, newest: str | None, key: StoredSigningKey) -> bool:
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_KEY)
            if await connection.fetchval(_NEWEST) != newest:
                return False
            await connection.execute(
                _INSERT, key.kid, key.public_x, key.encrypted_key, key.created_at, key.activates_at
            )
            await audit.record(connection, "signing_key.added", SYSTEM, key.kid, target_type="signing_key")
            return True

    async def retire(self, kid: str) -> None:
        await self._database.execute(_RETIRE, kid)

    async def delete_all(self) -> None:
        """Delete every key. The next start then adds a first one."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_KEY)
            await connection.execute("DELETE FROM signing_keys")
            await audit.record(connection, "signing_key.deleted", OPERATOR, "all", target_type="signing_key")


def _key(row: Row) -> StoredSigningKey:
    return StoredSigningKey(row["kid"], row["public_x"], row["sealed"], row["created_at"], row["activates_at"])
