"""In-memory stores of accounts and password resets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from auth.accounts.model import NewUser, PasswordChange, Status, User
from auth.accounts.store import NO_CHANGES
from auth.audit.model import RequestOrigin
from auth.errors import AccountExists
from auth.revocations.model import void_until
from auth.security import identifiers
from auth_testing.memory_database import MemoryDatabase, StoredReset


def _keys(user: User | NewUser) -> set[str]:
    return {identifiers.key(text) for text in (user.username, user.email) if text}


class MemoryAccountStore:
    """Accounts in memory."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def add(self, new: NewUser, origin: RequestOrigin) -> User:
        now = self._database.clock()
        user = User(
            id=new.id,
            username=new.username,
            email=new.email,
            email_verified=False,
            display_name=new.display_name,
            status=new.status,
            plan=new.plan,
            scopes=tuple(sorted(new.scopes)),
            password_hash=new.password_hash,
            not_before=0,
            created_at=now,
            updated_at=now,
            last_login_at=None,
        )
        self._refuse_duplicate(user)
        self._database.users[user.id] = user
        self._database.events.append(("user.registered", user.id))
        self._database.record("user.registered", origin, user.id)
        return user

    async def by_id(self, user_id: UUID) -> User | None:
        return self._database.users.get(user_id)

    async def usernames(self, user_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        return {user.id: user.username for user in self._database.users.values() if user.id in user_ids}

    async def by_login(self, key: str) -> User | None:
        return next((user for user in self._database.users.values() if key in _keys(user)), None)

    async def change_profile(
        self, user_id: UUID, changes: Mapping[str, str | None], origin: RequestOrigin
    ) -> User | None:
        before = self._database.users.get(user_id)
        if before is None:
            return None
        after = self._with_profile(before, changes)
        self._database.users[user_id] = after
        self._note_change(before, after, "user.updated", origin)
        return after

    async def set_password(self, change: PasswordChange, origin: RequestOrigin) -> bool:
        user = self._database.users.get(change.user_id)
        if user is None or not user.active or user.password_hash != change.checked_hash:
            return False
        keys = self._database.set_password(
            user.id, change.password_hash, keep=change.keep_session, end_api_keys=change.end_api_keys
        )
        self._database.record("password.changed", origin, user.id, ended_api_keys=keys)
        return True

    async def rehash(self, user_id: UUID, old_hash: str, new_hash: str) -> bool:
        user = self._database.users.get(user_id)
        if user is None or user.password_hash != old_hash:
            return False
        self._database.users[user_id] = replace(user, password_hash=new_hash)
        return True

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
        before = self._database.users.get(user_id)
        if before is None:
            return None
        after = replace(
            self._with_profile(before, profile) if profile else before,
            status=self._next_status(before, status),
            plan=plan or before.plan,
            scopes=before.scopes if scopes is None else tuple(sorted(scopes)),
        )
        disabled = before.status != "disabled" and after.status == "disabled"
        voided = disabled or not set(before.scopes) <= set(after.scopes)
        if voided:
            after = replace(after, not_before=void_until(self._database.clock().timestamp()))
        self._database.replace_user(before, after)
        if disabled:
            self._database.end_sessions(self._database.live_sessions(user_id), "disabled")
        if voided:
            self._database.revoke("user", user_id, after.not_before)
        self._note_change(before, after, "user.disabled" if disabled else "user.updated", origin)
        return after

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
        found = [
            user
            for user in self._database.users.values()
            if (not text or any(key.startswith(identifiers.key(text)) for key in _keys(user)))
            and (status is None or user.status == status)
            and (plan is None or user.plan == plan)
            and (scope is None or scope in user.scopes)
            and (before is None or user.id < before)
        ]
        return sorted(found, key=lambda user: user.id, reverse=True)[:limit]

    def _with_profile(self, before: User, changes: Mapping[str, str | None]) -> User:
        after = replace(
            before,
            username=changes.get("username") or before.username,
            email=changes.get("email", before.email),
            email_verified=before.email_verified and changes.get("email", before.email) == before.email,
            display_name=changes.get("display_name", before.display_name),
            updated_at=self._database.clock(),
        )
        self._refuse_duplicate(after)
        if after.email != before.email:
            self._database.delete_resets(before.id)
        return after

    def _next_status(self, before: User, wanted: Status | None) -> Status:
        if wanted == "disabled" and before.status == "invited":
            self._database.disabled_invitations.add(before.id)
        if wanted != "active" or before.active:
            return wanted or before.status
        noted = before.id in self._database.disabled_invitations and before.id not in self._database.password_times
        return "invited" if before.status == "invited" or noted else "active"

    def _refuse_duplicate(self, user: User) -> None:
        own_name, own_email = identifiers.key(user.username), identifiers.key(user.email) if user.email else None
        for other in self._database.users.values():
            same_email = own_email is not None and other.email and identifiers.key(other.email) == own_email
            if other.id != user.id and (identifiers.key(other.username) == own_name or same_email):
                raise AccountExists

    def _note_change(self, before: User, after: User, name: str, origin: RequestOrigin) -> None:
        members = ("username", "email", "display_name", "status", "plan", "scopes")
        changed = [member for member in members if getattr(before, member) != getattr(after, member)]
        if changed:
            self._database.events.append((name, after.id))
            self._database.record(name, origin, after.id, changed=changed)


class MemoryPasswordResetStore:
    """Password reset tokens in memory."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def issue(self, user_id: UUID, digest: bytes, lifetime: int, origin: RequestOrigin) -> datetime | None:
        if user_id not in self._database.users:
            return None
        self._database.delete_resets(user_id)
        expires_at = self._database.clock() + timedelta(seconds=lifetime)
        self._database.resets[digest] = StoredReset(user_id, expires_at)
        self._database.record("password_reset.issued", origin, user_id)
        return expires_at

    async def request(
        self, email_key: str, digest: bytes, *, lifetime: int, interval: int, origin: RequestOrigin
    ) -> User | None:
        now = self._database.clock()
        owners = [
            user
            for user in self._database.users.values()
            if user.active and user.email_verified and user.email and identifiers.key(user.email) == email_key
        ]
        recent = now + timedelta(seconds=lifetime - interval)
        if not owners or any(
            reset.user_id == owners[0].id and reset.expires_at > recent for reset in self._database.resets.values()
        ):
            return None
        self._database.resets[digest] = StoredReset(owners[0].id, now + timedelta(seconds=lifetime))
        self._database.record("password_reset.requested", origin, owners[0].id)
        return owners[0]

    async def find(self, digest: bytes) -> User | None:
        reset = self._database.resets.get(digest)
        if reset is None or reset.expires_at <= self._database.clock():
            return None
        return self._database.users.get(reset.user_id)

    async def use(self, digest: bytes, password_hash: str, origin: RequestOrigin, *, end_api_keys: bool) -> bool:
        user = await self.find(digest)
        if user is None:
            return False
        if user.status == "invited":
            self._database.users[user.id] = replace(user, status="active")
            self._database.events.append(("user.updated", user.id))
            self._database.record("user.updated", origin, user.id, changed=["status"])
        keys = self._database.set_password(user.id, password_hash, end_api_keys=end_api_keys)
        self._database.record("password.reset", origin, user.id, ended_api_keys=keys)
        return True
