"""The state that the in-memory stores share, and the account changes that several of them make."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from auth.accounts.model import User
from auth.api_keys.model import ApiKey
from auth.audit.model import AuditEntry, RequestOrigin
from auth.erasure.model import Erasure
from auth.errors import LastAdmin
from auth.revocations.model import Revocation, RevocationReason, void_until
from auth.security.scopes import ADMIN_SCOPE
from auth.sessions.model import Session
from parley import times
from parley.ids import new_id

TOKEN_LIFETIME = timedelta(seconds=900 + 120)


@dataclass
class StoredSession:
    """A session with its refresh token digests."""

    session: Session
    current: bytes
    previous: bytes | None = None
    rotated_at: datetime | None = None
    revoked: RevocationReason | None = None
    revoked_at: datetime | None = None


@dataclass
class StoredApiKey:
    """An API key with its digest and the request that created it."""

    key: ApiKey
    digest: bytes
    idempotency_key: str | None
    fingerprint: bytes


@dataclass
class StoredReset:
    """A password reset token."""

    user_id: UUID
    expires_at: datetime


@dataclass
class StoredVerification:
    """An e-mail verification token."""

    user_id: UUID
    email: str
    created_at: datetime


@dataclass
class MemoryDatabase:
    """Tables as dictionaries. ``events`` and ``audit`` record what PostgreSQL would hold in outbox and audit log."""

    clock: Callable[[], datetime] = times.now
    users: dict[UUID, User] = field(default_factory=dict)
    sessions: dict[UUID, StoredSession] = field(default_factory=dict)
    refresh_tokens: dict[bytes, UUID] = field(default_factory=dict)
    api_keys: dict[UUID, StoredApiKey] = field(default_factory=dict)
    resets: dict[bytes, StoredReset] = field(default_factory=dict)
    verifications: dict[bytes, StoredVerification] = field(default_factory=dict)
    devices: dict[tuple[UUID, bytes], None] = field(default_factory=dict)
    password_times: dict[UUID, datetime] = field(default_factory=dict)
    disabled_invitations: set[UUID] = field(default_factory=set)
    revocations: dict[tuple[str, UUID], Revocation] = field(default_factory=dict)
    unpushed: set[tuple[str, UUID]] = field(default_factory=set)
    erasures: dict[str, Erasure] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)
    events: list[tuple[str, UUID]] = field(default_factory=list)

    def record(
        self, action: str, origin: RequestOrigin, target: UUID | str, target_type: str = "user", **detail: object
    ) -> None:
        """Append an audit entry."""
        entry = AuditEntry(
            id=new_id(),
            at=self.clock(),
            action=action,
            actor_type=origin.actor_type,
            actor_id=origin.actor_id,
            target_type=target_type,
            target_id=str(target),
            address=origin.address,
            request_id=origin.request_id,
            detail=detail,
        )
        self.audit.append(entry)

    def live_sessions(self, user_id: UUID) -> list[StoredSession]:
        """Return the live sessions of an account."""
        return [found for found in self.sessions.values() if found.session.user_id == user_id and self.is_live(found)]

    def is_live(self, stored: StoredSession) -> bool:
        """Return whether a session is neither revoked nor expired."""
        ends = min(stored.session.expires_at, stored.session.idle_expires_at)
        return stored.revoked is None and ends > self.clock()

    def end_sessions(self, ended: Iterable[StoredSession], reason: RevocationReason) -> int:
        """End sessions, revoke their tokens and publish an event for each; returns how many."""
        count = 0
        for stored in ended:
            stored.revoked, stored.revoked_at = reason, self.clock()
            self.revoke("session", stored.session.id)
            self.events.append(("session.revoked", stored.session.user_id))
            count += 1
        return count

    def revoke(self, kind: str, subject: UUID, not_before: int | None = None) -> None:
        """Add a revocation, or extend the one there is."""
        cutoff = void_until(self.clock().timestamp()) if not_before is None else not_before
        earlier = self.revocations.get((kind, subject))
        cutoff = max(cutoff, earlier.not_before) if earlier else cutoff
        self.revocations[kind, subject] = Revocation(
            "session" if kind == "session" else "user", subject, cutoff, self.clock() + TOKEN_LIFETIME
        )
        self.unpushed.add((kind, subject))

    def delete_resets(self, user_id: UUID) -> None:
        """Delete every reset token of an account."""
        self.resets = {digest: reset for digest, reset in self.resets.items() if reset.user_id != user_id}

    def set_password(
        self, user_id: UUID, password_hash: str, *, keep: UUID | None = None, end_api_keys: bool = True
    ) -> int:
        """Replace a password hash, delete reset tokens, and end the sessions except ``keep``.

        With ``end_api_keys``, end the keys made since the password was last set. Returns their number.
        """
        self.users[user_id] = replace(self.users[user_id], password_hash=password_hash, updated_at=self.clock())
        self.delete_resets(user_id)
        self.end_sessions([s for s in self.live_sessions(user_id) if s.session.id != keep], "password_change")
        since = self.password_times.get(user_id)
        self.password_times[user_id] = self.clock()
        keys = [stored.key for stored in self.api_keys.values() if stored.key.user_id == user_id and end_api_keys]
        ended = [key.id for key in keys if since is None or key.created_at >= since]
        for key_id in ended:
            del self.api_keys[key_id]
            self.revoke("session", key_id)
            self.events.append(("apikey.revoked", user_id))
        return len(ended)

    def replace_user(self, before: User, after: User | None) -> None:
        """Change or delete (None) an account; raises LastAdmin, without the change, if no administrator remains."""
        others = [user for user in self.users.values() if user.id != before.id]
        remaining = [*others, after] if after else others
        was_admin = before.active and ADMIN_SCOPE in before.scopes
        if was_admin and not any(user.active and ADMIN_SCOPE in user.scopes for user in remaining):
            raise LastAdmin
        if after is None:
            del self.users[before.id]
        else:
            self.users[after.id] = after
