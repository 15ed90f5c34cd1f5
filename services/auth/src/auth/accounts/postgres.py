"""PostgreSQL store of accounts."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import asyncpg

from auth.accounts.last_admin import keep_an_admin
from auth.accounts.model import NewUser, PasswordChange, Status, User
from auth.accounts.status_changes import next_status
from auth.accounts.store import NO_CHANGES
from auth.audit import postgres as audit
from auth.audit.model import RequestOrigin
from auth.database import AccountDatabase, Row
from auth.errors import AccountExists
from auth.revocations.postgres import Revoker
from auth.security import identifiers
from parley import times
from parley.messaging import outbox
from parley.storage.named_parameters import NamedStatement
from parley.storage.postgres import Connection
from parley_events.models import UserChanged

_INSERT = NamedStatement("""
INSERT INTO users (id, username, username_key, email, email_key, display_name, password_hash, scopes, plan, status)
VALUES (:id, :username, :username_key, :email, :email_key, :display_name, :password_hash, :scopes, :plan, :status)
RETURNING *""")
_BY_LOGIN = "SELECT * FROM users WHERE username_key = $1 OR email_key = $1"
_PROFILE = """
UPDATE users SET username = $2, username_key = $3, email = $4, email_key = $5, display_name = $6, updated_at = now(),
    email_verified = email_verified AND email IS NOT DISTINCT FROM $4
WHERE id = $1 RETURNING *"""
_DELETE_RESETS = "DELETE FROM password_resets WHERE user_id = $1"
# Two spellings with one key can be two mailboxes. The rows stay, because they limit how many links are mailed.
_EXPIRE_VERIFICATIONS = "UPDATE email_verifications SET expires_at = now() WHERE user_id = $1"
_ADMINISTER = """
UPDATE users SET status = $2, plan = $3, scopes = $4, not_before = $5, updated_at = now() WHERE id = $1 RETURNING *"""
_PASSWORD = """
UPDATE users SET password_hash = $2, updated_at = now()
WHERE id = $1 AND password_hash = $3 AND status = 'active' RETURNING id"""  # noqa: S105 - a statement
_REHASH = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2"
_SEARCH = """
SELECT * FROM users
WHERE ($1::text IS NULL OR starts_with(username_key, $1) OR starts_with(email_key, $1))
  AND ($2::text IS NULL OR status = $2) AND ($3::text IS NULL OR plan = $3)
  AND id < coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
  AND ($6::text IS NULL OR $6 = ANY (scopes))
ORDER BY id DESC LIMIT $5"""


class PostgresAccountStore:
    """Accounts in PostgreSQL."""

    def __init__(self, database: AccountDatabase, revoker: Revoker) -> None:
        self._database, self._revoker = database, revoker

    async def add(self, new: NewUser, origin: RequestOrigin) -> User:
        values = {
            "id": new.id,
            "username": new.username,
            "username_key": identifiers.key(new.username),
            "email": new.email,
            "email_key": identifiers.key(new.email) if new.email else None,
            "display_name": new.display_name,
            "password_hash": new.password_hash,
            "scopes": list(new.scopes),
            "plan": new.plan,
            "status": new.status,
        }
        with _translate_conflict():
            async with self._database.transaction() as connection:
                row = await connection.fetchrow(_INSERT.sql, *_INSERT.arguments(values))
                assert row is not None
                user = to_user(row)
                await _publish(connection, "user.registered", user, [])
                await audit.record(connection, "user.registered", origin, user.id)
                return user

    async def by_id(self, user_id: UUID) -> User | None:
        row = await self._database.row("SELECT * FROM users WHERE id = $1", user_id)
        return to_user(row) if row else None

    async def usernames(self, user_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        rows = await self._database.fetch("SELECT id, username FROM users WHERE id = ANY ($1)", list(user_ids))
        return {row["id"]: row["username"] for row in rows}

    async def by_login(self, key: str) -> User | None:
        row = await self._database.row(_BY_LOGIN, key)
        return to_user(row) if row else None

    async def change_profile(
        self, user_id: UUID, changes: Mapping[str, str | None], origin: RequestOrigin
    ) -> User | None:
        with _translate_conflict():
            async with self._database.transaction() as connection:
                before = await _locked(connection, user_id)
                if before is None:
                    return None
                row = await _write_profile(connection, before, changes)
                return await record_change(connection, before, row, "user.updated", origin)

    async def set_password(self, change: PasswordChange, origin: RequestOrigin) -> bool:
        async with self._database.transaction() as connection:
            user_id, hashes = change.user_id, (change.password_hash, change.checked_hash)
            if await connection.fetchval(_PASSWORD, user_id, *hashes) is None:
                return False
            await connection.execute(_DELETE_RESETS, user_id)
            keys = await self._revoker.end_password(
                connection, user_id, keep_session=change.keep_session, api_keys=change.end_api_keys
            )
            await audit.record(connection, "password.changed", origin, user_id, detail={"ended_api_keys": keys})
            return True

    async def rehash(self, user_id: UUID, old_hash: str, new_hash: str) -> bool:
        return bool(await self._database.execute(_REHASH, user_id, old_hash, new_hash))

    async def administer(
        self,
        user_id: UUID,
        *,
        status: Status | None,
        plan: str | None,
        scopes: tuple[str, ...] | None,
        origin: RequestOrigin,
        profile: Mapping[str, str | None] = NO_CHANGES,
    ) -> User | None:
        with _translate_conflict():
            async with self._database.transaction() as connection:
                before = await _locked(connection, user_id)
                if before is None:
                    return None
                if profile:
                    await _write_profile(connection, before, profile)
                return await self._administer(connection, before, status, plan, scopes, origin)

    async def _administer(
        self,
        connection: Connection,
        before: User,
        status: Status | None,
        plan: str | None,
        scopes: tuple[str, ...] | None,
        origin: RequestOrigin,
    ) -> User:
        now_status = await next_status(connection, before, status)
        now_scopes = before.scopes if scopes is None else scopes
        disabled = before.status != "disabled" and now_status == "disabled"
        narrowed = not set(before.scopes) <= set(now_scopes)
        # Tokens with a scope that was removed are void; a refresh issues new ones with the remaining scopes.
        cutoff = self._revoker.cutoff() if disabled or narrowed else before.not_before
        values = now_status, plan or before.plan, list(now_scopes), cutoff
        row = await connection.fetchrow(_ADMINISTER, before.id, *values)
        await keep_an_admin(connection, before)
        if disabled:
            await self._revoker.end_sessions(connection, before.id, "disabled")
        if disabled or narrowed:
            await self._revoker.revoke_user(connection, before.id, cutoff)
        return await record_change(connection, before, row, "user.disabled" if disabled else "user.updated", origin)

    async def search(
        self,
        *,
        text: str | None,
        status: Status | None,
        plan: str | None,
        before: UUID | None,
        limit: int,
        scope: str | None = None,
    ) -> Sequence[User]:
        prefix = identifiers.key(text) if text else None
        rows = await self._database.fetch(_SEARCH, prefix, status, plan, before, limit, scope)
        return [to_user(row) for row in rows]


def to_user(row: Row) -> User:
    """Return the account in a row of ``users``."""
    return User(
        id=row["id"],
        username=row["username"],
        email=row["email"],
        email_verified=row["email_verified"],
        display_name=row["display_name"],
        status=row["status"],
        plan=row["plan"],
        scopes=tuple(sorted(row["scopes"])),
        password_hash=row["password_hash"],
        not_before=row["not_before"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_login_at=row["last_login_at"],
    )


async def _write_profile(connection: Connection, before: User, changes: Mapping[str, str | None]) -> Row | None:
    name = changes.get("username") or before.username
    email = changes.get("email", before.email)
    row = await connection.fetchrow(
        _PROFILE,
        before.id,
        name,
        identifiers.key(name),
        email,
        identifiers.key(email) if email else None,
        changes.get("display_name", before.display_name),
    )
    if email != before.email:
        await connection.execute(_DELETE_RESETS, before.id)
        await connection.execute(_EXPIRE_VERIFICATIONS, before.id)
    return row


async def record_change(
    connection: Connection, before: User, row: Row | None, name: str, origin: RequestOrigin
) -> User:
    """Publish and audit the members that a statement changed; return the account after it."""
    assert row is not None
    after = to_user(row)
    members = ("username", "email", "display_name", "status", "plan", "scopes")
    changed = [member for member in members if getattr(before, member) != getattr(after, member)]
    if changed:
        await _publish(connection, name, after, changed)
        await audit.record(connection, name, origin, after.id, detail={"changed": changed})
    return after


async def _locked(connection: Connection, user_id: UUID) -> User | None:
    row = await connection.fetchrow("SELECT * FROM users WHERE id = $1 FOR UPDATE", user_id)
    return to_user(row) if row else None


async def _publish(connection: Connection, name: str, user: User, changed: list[str]) -> None:
    """Publish an event about an account in the transaction of the caller."""
    data = UserChanged(
        user_id=user.id,
        status="disabled" if user.status == "disabled" else "active",
        plan=user.plan,
        scopes=list(user.scopes),
        changed=changed,
        at=times.now(),
    )
    await outbox.append(connection, name, data, subject=user.id)


@contextlib.contextmanager
def _translate_conflict() -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError:
        raise AccountExists from None
