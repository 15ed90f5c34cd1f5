"""PostgreSQL store of revocations, written in the transaction that ends a session, API key or account."""

import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from auth.database import AccountDatabase, Row
from auth.revocations.model import Revocation, RevocationReason, void_until
from parley import times
from parley.messaging import outbox
from parley.storage.postgres import Connection
from parley_events.models import ApiKeyRevoked, SessionRevoked

CLOCK_TOLERANCE = 120
"""Seconds that a revocation outlives the longest token, because clocks differ."""
# Statements on several rows lock them in the order of their keys first: see docs/locks.md.
_ADD = """
INSERT INTO revocations AS r (kind, subject, not_before, expires_at)
SELECT $1, subject, $3, now() + make_interval(secs => $4) FROM unnest($2::uuid[]) AS subject ORDER BY subject
ON CONFLICT (kind, subject) DO UPDATE
SET not_before = greatest(r.not_before, excluded.not_before), expires_at = excluded.expires_at, pushed = false"""
_END = """
WITH live AS (
    SELECT id FROM sessions
    WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now()
      AND id BETWEEN coalesce($3::uuid, '00000000-0000-0000-0000-000000000000')
          AND coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      AND id IS DISTINCT FROM $4::uuid
    ORDER BY id FOR NO KEY UPDATE
)
UPDATE sessions AS s SET revoked_at = now(), revoked_reason = $2 FROM live WHERE s.id = live.id RETURNING s.id"""
_LOCK_API_KEYS = "SELECT FROM api_keys WHERE user_id = $1 ORDER BY id FOR UPDATE"
_END_API_KEYS = """
DELETE FROM api_keys WHERE user_id = $1
  AND created_at >= coalesce((SELECT set_at FROM password_times WHERE user_id = $1), '-infinity')
RETURNING id"""
_NOTE_CHANGE = """
INSERT INTO password_times (user_id) VALUES ($1) ON CONFLICT (user_id) DO UPDATE SET set_at = now()"""
_UNPUSHED = "SELECT * FROM revocations WHERE NOT pushed AND expires_at > now() ORDER BY expires_at LIMIT 5000"
# The time is compared in a way that no index serves: nearly all revocations are live, and a page has them in order.
_LIVE = """
SELECT * FROM revocations
WHERE (kind, subject) > ($1::text, coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'))
    AND expires_at - now() > interval '0'
ORDER BY kind, subject LIMIT $3"""
# A revocation that is marked already is not written again. When a replica starts, nearly all are marked.
_MARK = """
WITH locked AS (
    SELECT r.kind, r.subject FROM revocations AS r
    JOIN unnest($1::text[], $2::uuid[], $3::bigint[]) AS d (kind, subject, not_before)
        ON r.kind = d.kind AND r.subject = d.subject AND r.not_before = d.not_before
    WHERE NOT r.pushed
    ORDER BY r.kind, r.subject FOR NO KEY UPDATE OF r
)
UPDATE revocations AS r SET pushed = true FROM locked WHERE r.kind = locked.kind AND r.subject = locked.subject"""
_PURGE = """
DELETE FROM revocations WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM revocations WHERE expires_at < now() ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED
))"""
_SESSIONS = """
SELECT c.subject FROM unnest($1::uuid[]) AS c (subject) CROSS JOIN LATERAL (
    SELECT expires_at FROM revocations WHERE kind = 'session' AND subject = c.subject OFFSET 0
) AS r WHERE r.expires_at > now()"""
_USERS = """
SELECT c.subject FROM unnest($1::uuid[], $2::bigint[]) AS c (subject, issued_at) CROSS JOIN LATERAL (
    SELECT not_before, expires_at FROM revocations WHERE kind = 'user' AND subject = c.subject OFFSET 0
) AS r WHERE c.issued_at <= r.not_before AND r.expires_at > now()"""


class Revoker:
    """Ends sessions and revokes tokens in the transaction of the caller; ``token_lifetime`` in seconds."""

    def __init__(self, token_lifetime: int) -> None:
        self._lifetime = float(token_lifetime + CLOCK_TOLERANCE)

    @staticmethod
    def cutoff() -> int:
        """Return the last second of which tokens are void after a change that is made now."""
        return void_until(time.time())

    async def lock_api_keys(self, connection: Connection, user_id: UUID) -> None:
        """Lock the API keys of a locked account, before any event of the account is written: see docs/locks.md."""
        await connection.execute(_LOCK_API_KEYS, user_id)

    async def end_sessions(
        self,
        connection: Connection,
        user_id: UUID,
        reason: RevocationReason,
        *,
        only: UUID | None = None,
        keep: UUID | None = None,
    ) -> list[UUID]:
        """End sessions and publish an event for each; returns their ids."""
        ended = [row["id"] for row in await connection.fetch(_END, user_id, reason, only, keep)]
        if ended:
            await self.announce(connection, user_id, ended, reason)
        return ended

    async def announce(
        self, connection: Connection, user_id: UUID, ended: Sequence[UUID], reason: RevocationReason
    ) -> None:
        """Revoke the tokens of ended sessions and publish an event for each."""
        await self.revoke_sessions(connection, ended)
        moment = times.now()
        for session_id in ended:
            data = SessionRevoked(user_id=user_id, session_id=session_id, reason=reason, not_before=moment, at=moment)
            await outbox.append(connection, "session.revoked", data, subject=user_id)

    async def end_password(
        self, connection: Connection, user_id: UUID, *, keep_session: UUID | None, api_keys: bool
    ) -> int:
        """End what the old password may have made: sessions, and ``api_keys`` made since it was set.

        Returns the number of keys. The caller has locked the account.
        """
        await self.lock_api_keys(connection, user_id)
        await self.end_sessions(connection, user_id, "password_change", keep=keep_session)
        ended = await connection.fetch(_END_API_KEYS, user_id) if api_keys else []
        await connection.execute(_NOTE_CHANGE, user_id)
        await self.revoke_sessions(connection, [row["id"] for row in ended])
        for row in ended:
            data = ApiKeyRevoked(user_id=user_id, api_key_id=row["id"], at=times.now())
            await outbox.append(connection, "apikey.revoked", data, subject=user_id)
        return len(ended)

    async def revoke_sessions(self, connection: Connection, ids: Sequence[UUID]) -> None:
        """Revoke the tokens of sessions or API keys."""
        await connection.execute(_ADD, "session", list(ids), int(time.time()), self._lifetime)

    async def revoke_user(self, connection: Connection, user_id: UUID, not_before: int) -> None:
        """Revoke the tokens of a user that were issued at or before ``not_before`` (epoch seconds)."""
        await connection.execute(_ADD, "user", [user_id], not_before, self._lifetime)


class PostgresRevocationStore:
    """Revocations in PostgreSQL."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database

    async def unpushed(self) -> Sequence[Revocation]:
        return [_revocation(row) for row in await self._database.fetch(_UNPUSHED)]

    async def live(self, after: Revocation | None, limit: int) -> Sequence[Revocation]:
        position = (after.kind, after.subject) if after else ("", None)
        return [_revocation(row) for row in await self._database.fetch(_LIVE, *position, limit)]

    async def mark_pushed(self, done: Sequence[Revocation]) -> None:
        # A revocation that was renewed in the meantime stays unpushed.
        columns = [r.kind for r in done], [r.subject for r in done], [r.not_before for r in done]
        await self._database.execute(_MARK, *columns)

    async def find_revoked(self, sessions: Sequence[UUID], users: Mapping[UUID, int]) -> tuple[list[UUID], list[UUID]]:
        ended = await self._database.fetch(_SESSIONS, list(sessions)) if sessions else []
        void = await self._database.fetch(_USERS, list(users), list(users.values())) if users else []
        return [row["subject"] for row in ended], [row["subject"] for row in void]

    async def purge(self) -> int:
        return await self._database.execute(_PURGE)


def _revocation(row: Row) -> Revocation:
    return Revocation(row["kind"], row["subject"], row["not_before"], row["expires_at"])
