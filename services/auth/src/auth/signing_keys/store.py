"""Signing keys in Postgres; the private halves arrive and leave sealed."""

from collections.abc import Sequence

from auth.audit import store as audit
from auth.database import Database, Row
from auth.model import SYSTEM, StoredKey

_LOCK_KEY = 0x6B657973
"""One replica adds a key at a time: "keys" in ASCII."""
_ALL = "SELECT * FROM signing_keys WHERE retired_at IS NULL ORDER BY activates_at, created_at, kid"
_NEWEST = "SELECT kid FROM signing_keys ORDER BY activates_at DESC, created_at DESC, kid DESC LIMIT 1"
_INSERT = """
INSERT INTO signing_keys (kid, public_x, sealed, created_at, activates_at) VALUES ($1, $2, $3, $4, $5)"""
_RETIRE = "UPDATE signing_keys SET retired_at = now(), sealed = NULL WHERE kid = $1 AND retired_at IS NULL"


class PostgresSigningKeys:
    """Stores signing keys."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def all(self) -> Sequence[StoredKey]:
        """Return the keys that are not retired, oldest first."""
        return [_key(row) for row in await self._database.fetch(_ALL)]

    async def add_if_newest_is(self, newest: str | None, key: StoredKey) -> bool:
        """Add a key unless somebody else has added one meanwhile."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_KEY)
            if await connection.fetchval(_NEWEST) != newest:
                return False
            await connection.execute(_INSERT, key.kid, key.public_x, key.sealed, key.created_at, key.activates_at)
            await audit.record(connection, "signing_key.added", SYSTEM, key.kid, target_type="signing_key")
            return True

    async def retire(self, kid: str) -> None:
        """Forget the private half of a key that verifies nothing any more."""
        await self._database.execute(_RETIRE, kid)


def _key(row: Row) -> StoredKey:
    return StoredKey(row["kid"], row["public_x"], row["sealed"], row["created_at"], row["activates_at"])
