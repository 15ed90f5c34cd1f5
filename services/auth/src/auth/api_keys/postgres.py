"""PostgreSQL store of API keys."""

import dataclasses
import hmac
from collections.abc import Sequence
from uuid import UUID

from auth.accounts.model import User
from auth.accounts.postgres import to_user
from auth.api_keys.model import MAX_KEYS, ApiKey, TooManyApiKeysError
from auth.audit import postgres as audit
from auth.audit.model import RequestOrigin
from auth.database import AccountDatabase, Row
from auth.revocations.postgres import Revoker
from parley import times
from parley.errors import TokenRevoked
from parley.messaging import outbox
from parley.storage.named_parameters import NamedStatement
from parley.storage.postgres import Connection
from parley.web.idempotency_keys import IdempotencyKeyReused
from parley_events.models import ApiKeyRevoked

_KEY_COLUMNS = tuple(field.name for field in dataclasses.fields(ApiKey))
_COLUMNS = (*_KEY_COLUMNS, "digest", "idempotency_key", "fingerprint")
_INSERT = NamedStatement(f"""
INSERT INTO api_keys ({", ".join(_COLUMNS)}) VALUES ({", ".join(f":{name}" for name in _COLUMNS)})
ON CONFLICT (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING *""")  # noqa: S608 - only constants are interpolated
# The lock waits for a change of the password that has begun, so that no key escapes it, and for other new keys, so that
# their number is exact.
_LOCK_OWNER = "SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE"
_COUNT = "SELECT count(*) FROM api_keys WHERE user_id = $1"
_DELETE_EXPIRED = "DELETE FROM api_keys WHERE user_id = $1 AND expires_at <= now()"
_SESSION_ENDED = "SELECT EXISTS (SELECT FROM revocations WHERE kind = 'session' AND subject = $1)"
_BY_IDEMPOTENCY_KEY = "SELECT * FROM api_keys WHERE user_id = $1 AND idempotency_key = $2"
_EXPIRE_IDEMPOTENCY_KEY = """
UPDATE api_keys SET idempotency_key = NULL
WHERE user_id = $1 AND idempotency_key = $2 AND created_at < now() - interval '24 hours'"""
_LIVE = """
SELECT * FROM api_keys WHERE user_id = $1 AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY id DESC LIMIT $3"""
_DELETE = "DELETE FROM api_keys WHERE user_id = $1 AND id = $2 RETURNING id"
_USE = """
UPDATE api_keys SET last_used_at = now()
WHERE digest = $1 AND (expires_at IS NULL OR expires_at > now()) RETURNING *"""
_OWNER = "SELECT * FROM users WHERE id = $1 AND status = 'active'"


class PostgresApiKeyStore:
    """API keys in PostgreSQL."""

    def __init__(self, database: AccountDatabase, revoker: Revoker) -> None:
        self._database, self._revoker = database, revoker

    async def add(
        self,
        key: ApiKey,
        digest: bytes,
        *,
        idempotency_key: str | None,
        fingerprint: bytes,
        origin: RequestOrigin,
        session_id: UUID | None = None,
        max_keys: int = MAX_KEYS,
    ) -> tuple[ApiKey, bool]:
        values = dataclasses.asdict(key)
        values |= {"digest": digest, "idempotency_key": idempotency_key, "fingerprint": fingerprint}
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK_OWNER, key.user_id)
            if session_id is not None and await connection.fetchval(_SESSION_ENDED, session_id):
                raise TokenRevoked
            if idempotency_key is not None:
                await connection.execute(_EXPIRE_IDEMPOTENCY_KEY, key.user_id, idempotency_key)
            row = await connection.fetchrow(_INSERT.sql, *_INSERT.arguments(values))
            if row is None:
                return await self._replayed(connection, key.user_id, idempotency_key, fingerprint), True
            await self._require_room(connection, key.user_id, max_keys)
            await audit.record(connection, "apikey.created", origin, key.id, target_type="api_key")
            return _key(row), False

    async def live(self, user_id: UUID, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        return [_key(row) for row in await self._database.fetch(_LIVE, user_id, before, limit)]

    async def delete(self, user_id: UUID, key_id: UUID, origin: RequestOrigin) -> bool:
        async with self._database.transaction() as connection:
            if not await connection.fetchval(_DELETE, user_id, key_id):
                return False
            await self._revoker.revoke_sessions(connection, [key_id])
            data = ApiKeyRevoked(user_id=user_id, api_key_id=key_id, at=times.now())
            await outbox.append(connection, "apikey.revoked", data, subject=user_id)
            await audit.record(connection, "apikey.deleted", origin, key_id, target_type="api_key")
            return True

    async def use(self, digest: bytes) -> tuple[ApiKey, User] | None:
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_USE, digest)
            owner = await connection.fetchrow(_OWNER, row["user_id"]) if row else None
            return (_key(row), to_user(owner)) if row and owner else None

    @staticmethod
    async def _require_room(connection: Connection, user_id: UUID, max_keys: int) -> None:
        if await connection.fetchval(_COUNT, user_id) <= max_keys:
            return
        await connection.execute(_DELETE_EXPIRED, user_id)
        if await connection.fetchval(_COUNT, user_id) > max_keys:
            raise TooManyApiKeysError

    @staticmethod
    async def _replayed(
        connection: Connection, user_id: UUID, idempotency_key: str | None, fingerprint: bytes
    ) -> ApiKey:
        row = await connection.fetchrow(_BY_IDEMPOTENCY_KEY, user_id, idempotency_key)
        if row is None or not hmac.compare_digest(row["fingerprint"], fingerprint):
            raise IdempotencyKeyReused
        return _key(row)


def _key(row: Row) -> ApiKey:
    return ApiKey(**{name: row[name] for name in _KEY_COLUMNS} | {"scopes": tuple(row["scopes"])})
