"""PostgreSQL store of sessions and refresh tokens."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from auth.accounts.postgres import to_user
from auth.audit import postgres as audit
from auth.audit.model import RequestOrigin
from auth.database import AccountDatabase, Row
from auth.revocations.model import RevocationReason
from auth.revocations.postgres import Revoker
from auth.sessions.model import NewSession, RefreshRotation, Session, SessionLimits, device_digest
from parley.storage.named_parameters import NamedStatement
from parley.storage.postgres import Connection

SESSION_BATCH, DEVICE_BATCH = 100, 1000
"""Rows that one statement of a purge deletes. A session may have thousands of refresh tokens, which go with it."""
_START = NamedStatement("""
WITH login AS (
    UPDATE users SET last_login_at = now() WHERE id = :user_id AND status = 'active'
      AND (:password_hash::text IS NULL OR password_hash = :password_hash) RETURNING id, not_before, scopes AS granted
),
started AS (
    INSERT INTO sessions (id, user_id, client_id, scopes, user_agent, address, current_digest, expires_at,
        idle_expires_at)
    SELECT :id, id, :client_id, ARRAY(SELECT scope FROM unnest(:scopes::text[]) WITH ORDINALITY AS wanted (scope, place)
        WHERE scope = ANY (granted) ORDER BY place), :user_agent, :address, :token_digest,
        now() + make_interval(secs => :lifetime), now() + make_interval(secs => :idle_lifetime)
    FROM login RETURNING *
), issued AS (INSERT INTO refresh_tokens (digest, session_id) SELECT :token_digest, id FROM started),
device AS (
    INSERT INTO known_devices (user_id, digest) SELECT id, :device FROM login
    ON CONFLICT (user_id, digest) DO UPDATE SET last_seen_at = now() RETURNING xmax = 0 AS added
)
SELECT started.*, login.not_before,
    device.added AND EXISTS (SELECT FROM known_devices WHERE user_id = :user_id) AS new_device
FROM started, device, login""")
# The last EXISTS sees the devices before this statement: the first device of an account is not new.

# One UPDATE decides under the lock of the row: of any number of concurrent uses, one rotates the token and the others
# see the result. A successor is derived from its predecessor, so the successor is unused as long as it is the current
# token of the session. Any other use of an old token counts as theft.
_ROTATE = """
UPDATE sessions AS s SET
    current_digest = CASE WHEN s.current_digest = $1 THEN $2 ELSE s.current_digest END,
    previous_digest = CASE WHEN s.current_digest = $1 THEN $1 ELSE s.previous_digest END,
    rotated_at = CASE WHEN s.current_digest = $1 THEN clock_timestamp() ELSE s.rotated_at END,
    last_used_at = clock_timestamp(),
    idle_expires_at = CASE WHEN s.current_digest = $1
        THEN least(s.expires_at, now() + make_interval(secs => $4)) ELSE s.idle_expires_at END,
    revoked_at = CASE WHEN s.current_digest = $1 OR (s.previous_digest = $1 AND s.current_digest = $2
        AND s.rotated_at > clock_timestamp() - make_interval(secs => $3)) THEN NULL ELSE clock_timestamp() END
WHERE s.id = (SELECT session_id FROM refresh_tokens WHERE digest = $1) AND s.revoked_at IS NULL
  AND s.expires_at > now() AND s.idle_expires_at > now()
RETURNING s.*"""
_ISSUED = "INSERT INTO refresh_tokens (digest, session_id) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING"
_FORGET = """
DELETE FROM refresh_tokens WHERE session_id = $1 AND digest <> ALL ($2::bytea[])
  AND (SELECT count(*) FROM refresh_tokens WHERE session_id = $1) > $3"""
_BY_DIGEST = """
SELECT s.*, ARRAY(SELECT scope FROM unnest(s.scopes) AS scope WHERE scope = ANY (u.scopes)) AS granted
FROM sessions AS s JOIN users AS u ON u.id = s.user_id
WHERE s.id = (SELECT session_id FROM refresh_tokens WHERE digest = $1) AND s.revoked_at IS NULL
  AND s.expires_at > now() AND s.idle_expires_at > now()"""
_LIVE = """
SELECT * FROM sessions
WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now() AND idle_expires_at > now()
  AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY id DESC LIMIT $3"""
# All of them are locked before the event of the first one is written: see docs/locks.md.
_SURPLUS = """
SELECT id FROM sessions WHERE id = ANY (ARRAY(
    SELECT id FROM sessions
    WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now() AND idle_expires_at > now()
    ORDER BY last_used_at DESC, id DESC OFFSET $2 LIMIT 10
)) AND revoked_at IS NULL ORDER BY id FOR NO KEY UPDATE"""
# The physical places of the locked rows: no plan but to go there, see docs/query-plans.md.
_PURGE = """
DELETE FROM sessions WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM sessions WHERE least(expires_at, idle_expires_at, revoked_at) < now() - interval '1 day'
    ORDER BY least(expires_at, idle_expires_at, revoked_at) LIMIT $1 FOR UPDATE SKIP LOCKED
))"""

# A log-in adds at most one device: a few more are deleted, for accounts that had more before there was a limit.
_FORGET_DEVICES = """
DELETE FROM known_devices WHERE user_id = $1 AND digest = ANY (ARRAY(
    SELECT digest FROM known_devices WHERE user_id = $1 ORDER BY last_seen_at DESC, digest OFFSET $2 LIMIT 10
))"""
_PURGE_DEVICES = """
DELETE FROM known_devices WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM known_devices WHERE last_seen_at < now() - interval '400 days'
    ORDER BY last_seen_at LIMIT $1 FOR UPDATE SKIP LOCKED
))"""


class PostgresSessionStore:
    """Sessions and refresh tokens in PostgreSQL."""

    def __init__(self, database: AccountDatabase, revoker: Revoker) -> None:
        self._database, self._revoker = database, revoker
        self.limits = SessionLimits()

    async def start(self, new: NewSession, origin: RequestOrigin) -> Session | None:
        values = {
            "id": new.id,
            "user_id": new.user_id,
            "client_id": new.client_id,
            "scopes": list(new.scopes),
            "user_agent": origin.user_agent,
            "address": origin.address,
            "token_digest": new.token_digest,
            "lifetime": float(new.lifetime),
            "idle_lifetime": float(new.idle_lifetime),
            "password_hash": new.password_hash,
            "device": device_digest(new.client_id, origin.user_agent),
        }
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_START.sql, *_START.arguments(values))
            if row is None:
                return None
            session = _session(row)
            for surplus in await connection.fetch(_SURPLUS, new.user_id, self.limits.sessions):
                await self._revoker.end_sessions(connection, new.user_id, "logout", only=surplus["id"])
                await _record(connection, new.user_id, "logout", 1, origin)
            if session.new_device:
                await connection.execute(_FORGET_DEVICES, new.user_id, self.limits.devices)
                detail = {"session": str(session.id)}
                await audit.record(connection, "session.new_device", origin, new.user_id, detail=detail)
            return session

    async def by_token(self, token_digest: bytes) -> Session | None:
        row = await self._database.row(_BY_DIGEST, token_digest)
        return replace(_session(row), scopes=tuple(row["granted"])) if row else None

    async def rotate(
        self, token_digest: bytes, next_digest: bytes, *, window: float, idle_lifetime: int, origin: RequestOrigin
    ) -> RefreshRotation | None:
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_ROTATE, token_digest, next_digest, window, float(idle_lifetime))
            if row is None:
                return None
            reused = row["revoked_at"] is not None
            if reused:
                await self._end_reused(connection, row, origin)
            else:
                await connection.execute(_ISSUED, next_digest, row["id"])
                if not next_digest[0]:  # digests are random: one rotation in 256 counts the tokens
                    kept = [token_digest, next_digest]
                    await connection.execute(_FORGET, row["id"], kept, self.limits.refresh_tokens)
            user = await connection.fetchrow("SELECT * FROM users WHERE id = $1", row["user_id"])
            return RefreshRotation(_session(row), to_user(user), reused) if user else None

    async def live(self, user_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Session]:
        return [_session(row) for row in await self._database.fetch(_LIVE, user_id, before, limit)]

    async def end(self, user_id: UUID, session_id: UUID, reason: RevocationReason, origin: RequestOrigin) -> bool:
        async with self._database.transaction() as connection:
            ended = await self._revoker.end_sessions(connection, user_id, reason, only=session_id)
            if ended:
                await _record(connection, user_id, reason, len(ended), origin)
            return bool(ended)

    async def end_all(
        self, user_id: UUID, reason: RevocationReason, origin: RequestOrigin, *, keep: UUID | None = None
    ) -> int:
        async with self._database.transaction() as connection:
            ended = await self._revoker.end_sessions(connection, user_id, reason, keep=keep)
            if ended or reason != "logout":  # without an end, a person would repeat it for nothing
                await _record(connection, user_id, reason, len(ended), origin)
            return len(ended)

    async def purge(self) -> int:
        devices = await self._database.execute(_PURGE_DEVICES, DEVICE_BATCH)
        return devices + await self._database.execute(_PURGE, SESSION_BATCH)

    async def _end_reused(self, connection: Connection, row: Row, origin: RequestOrigin) -> None:
        await connection.execute("UPDATE sessions SET revoked_reason = 'reuse' WHERE id = $1", row["id"])
        await self._revoker.announce(connection, row["user_id"], [row["id"]], "reuse")
        await _record(connection, row["user_id"], "reuse", 1, origin)


async def _record(
    connection: Connection, user_id: UUID, reason: RevocationReason, count: int, origin: RequestOrigin
) -> None:
    await audit.record(connection, "session.revoked", origin, user_id, detail={"reason": reason, "sessions": count})


def _session(row: Row) -> Session:
    return Session(
        id=row["id"],
        user_id=row["user_id"],
        client_id=row["client_id"],
        scopes=tuple(row["scopes"]),
        user_agent=row["user_agent"],
        address=row["address"],
        auth_time=row["auth_time"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
        expires_at=row["expires_at"],
        idle_expires_at=row["idle_expires_at"],
        new_device=bool(row.get("new_device")),
        not_before=row.get("not_before") or 0,
    )
