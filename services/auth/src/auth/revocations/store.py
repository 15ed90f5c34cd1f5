"""Revocations: written in the transaction that ends a session, a key or an account."""

import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from auth.database import Database, Row
from auth.model import Revocation, RevokedReason
from parley import times
from parley.messaging import outbox
from parley.storage.postgres import Connection
from parley_events.models import SessionRevoked

GRACE = 120
"""Seconds a revocation outlives the longest token: clocks differ."""
_ADD = """
INSERT INTO revocations AS r (kind, subject, not_before, expires_at)
SELECT $1, subject, $3, now() + make_interval(secs => $4) FROM unnest($2::uuid[]) AS subject
ON CONFLICT (kind, subject) DO UPDATE
SET not_before = greatest(r.not_before, excluded.not_before), expires_at = excluded.expires_at, pushed = false"""
_END = """
UPDATE sessions SET revoked_at = now(), revoked_reason = $2
WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now()
  AND ($3::uuid IS NULL OR id = $3) AND ($4::uuid IS NULL OR id <> $4)
RETURNING id"""
_UNPUSHED = "SELECT * FROM revocations WHERE NOT pushed AND expires_at > now() ORDER BY expires_at LIMIT 5000"
_LIVE = "SELECT * FROM revocations WHERE expires_at > now()"
_MARK = """
UPDATE revocations AS r SET pushed = true
FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS d (kind, subject, not_before)
WHERE r.kind = d.kind AND r.subject = d.subject AND r.not_before = d.not_before"""
_SESSIONS = """
SELECT subject FROM revocations WHERE kind = 'session' AND subject = ANY($1::uuid[]) AND expires_at > now()"""
_USERS = """
SELECT r.subject FROM revocations AS r
JOIN unnest($1::uuid[], $2::bigint[]) AS asked (subject, issued_at) USING (subject)
WHERE r.kind = 'user' AND asked.issued_at <= r.not_before AND r.expires_at > now()"""


class Revoker:
    """Ends sessions and voids tokens inside a transaction of its caller."""

    def __init__(self, token_lifetime: int) -> None:
        """Take how many seconds a token lives at most."""
        self._lifetime = float(token_lifetime + GRACE)

    async def end_sessions(
        self,
        connection: Connection,
        user_id: UUID,
        reason: RevokedReason,
        *,
        only: UUID | None = None,
        keep: UUID | None = None,
    ) -> list[UUID]:
        """End sessions with an event each; returns their ids."""
        ended = [row["id"] for row in await connection.fetch(_END, user_id, reason, only, keep)]
        if ended:
            await self.announce(connection, user_id, ended, reason)
        return ended

    async def announce(
        self, connection: Connection, user_id: UUID, ended: Sequence[UUID], reason: RevokedReason
    ) -> None:
        """Void the tokens of sessions that were just ended, and publish it."""
        await self.void_sessions(connection, ended)
        moment = times.now()
        for session_id in ended:
            data = SessionRevoked(user_id=user_id, session_id=session_id, reason=reason, not_before=moment, at=moment)
            await outbox.append(connection, "session.revoked", data, subject=user_id)

    async def void_sessions(self, connection: Connection, ids: Sequence[UUID]) -> None:
        """Void the tokens of sessions or API keys."""
        await connection.execute(_ADD, "session", list(ids), int(time.time()), self._lifetime)

    async def void_user(self, connection: Connection, user_id: UUID, not_before: int) -> None:
        """Void every token of a user that was issued up to that second."""
        await connection.execute(_ADD, "user", [user_id], not_before, self._lifetime)


class PostgresRevocations:
    """Reads the revocations."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def unpushed(self) -> Sequence[Revocation]:
        """Return the live ones that Redis may not have yet."""
        return [_revocation(row) for row in await self._database.fetch(_UNPUSHED)]

    async def live(self) -> Sequence[Revocation]:
        """Return all that still matter."""
        return [_revocation(row) for row in await self._database.fetch(_LIVE)]

    async def mark_pushed(self, done: Sequence[Revocation]) -> None:
        """Note that Redis has them; one that was renewed meanwhile is pushed again."""
        columns = [r.kind for r in done], [r.subject for r in done], [r.not_before for r in done]
        await self._database.execute(_MARK, *columns)

    async def among(self, sessions: Sequence[UUID], users: Mapping[UUID, int]) -> tuple[list[UUID], list[UUID]]:
        """Return which sessions, and which users with tokens issued at a time, are revoked."""
        ended = await self._database.fetch(_SESSIONS, list(sessions)) if sessions else []
        void = await self._database.fetch(_USERS, list(users), list(users.values())) if users else []
        return [row["subject"] for row in ended], [row["subject"] for row in void]

    async def purge(self) -> int:
        """Delete those that every token has outlived."""
        return await self._database.execute("DELETE FROM revocations WHERE expires_at < now()")


def _revocation(row: Row) -> Revocation:
    return Revocation(row["kind"], row["subject"], row["not_before"], row["expires_at"])
