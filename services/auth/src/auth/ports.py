"""What auth's services need from the outside. Each method of a store is one transaction, its events included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from auth.model import (
    ApiKey,
    AuditEntry,
    Erasure,
    Origin,
    Revocation,
    RevokedReason,
    Session,
    Status,
    StoredKey,
    User,
)


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account to be made."""

    id: UUID
    username: str
    email: str | None
    display_name: str | None
    password_hash: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewSession:
    """A log-in to be stored, with the digest of its first refresh token; lifetimes in seconds."""

    id: UUID
    user_id: UUID
    client_id: str
    scopes: tuple[str, ...]
    token_digest: bytes
    lifetime: int
    idle_lifetime: int


@dataclass(frozen=True, slots=True)
class Rotation:
    """The outcome of using a refresh token; ``reused`` means that the whole family was just ended."""

    session: Session
    user: User
    reused: bool


class Users(Protocol):
    """Accounts."""

    async def add(self, new: NewUser, origin: Origin) -> User:
        """Store an account; raises AccountExists."""
        ...

    async def by_id(self, user_id: UUID) -> User | None:
        """Return the account."""
        ...

    async def by_login(self, key: str) -> User | None:
        """Return the account with that normalised name or address."""
        ...

    async def change_profile(self, user_id: UUID, changes: Mapping[str, str | None], origin: Origin) -> User | None:
        """Change name, address or display name; raises AccountExists."""
        ...

    async def set_password(
        self, user_id: UUID, password_hash: str, *, keep_session: str | None, origin: Origin
    ) -> None:
        """Store a new password and end every session but the one to keep."""
        ...

    async def rehash(self, user_id: UUID, old_hash: str, new_hash: str) -> None:
        """Replace the hash of an unchanged password."""
        ...

    async def administer(
        self,
        user_id: UUID,
        *,
        status: Status | None,
        plan: str | None,
        scopes: tuple[str, ...] | None,
        origin: Origin,
    ) -> User | None:
        """Change what only administrators may; raises LastAdmin."""
        ...

    async def search(
        self, *, text: str | None, status: Status | None, plan: str | None, before: UUID | None, limit: int
    ) -> Sequence[User]:
        """Return accounts, newest first."""
        ...


class Sessions(Protocol):
    """Log-ins and their refresh tokens."""

    async def start(self, new: NewSession, origin: Origin) -> Session | None:
        """Store a session and note the log-in; None when the account was disabled or erased meanwhile."""
        ...

    async def by_token(self, token_digest: bytes) -> Session | None:
        """Return the session that a refresh token, current or old, belongs to."""
        ...

    async def rotate(
        self, token_digest: bytes, next_digest: bytes, *, window: float, idle_lifetime: int, origin: Origin
    ) -> Rotation | None:
        """Use a refresh token; None when there is no live session with it."""
        ...

    async def live(self, user_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Session]:
        """Return the sessions of an account, newest first."""
        ...

    async def end(self, user_id: UUID, session_id: UUID, reason: RevokedReason, origin: Origin) -> bool:
        """End one session; False when it is not there (any more)."""
        ...

    async def end_all(self, user_id: UUID, reason: RevokedReason, origin: Origin, *, keep: UUID | None = None) -> int:
        """End the sessions of an account; returns how many."""
        ...

    async def purge(self) -> int:
        """Delete what has been over for a day; returns how many sessions."""
        ...


class ApiKeys(Protocol):
    """API keys."""

    async def add(
        self, key: ApiKey, digest: bytes, *, idempotency_key: str | None, fingerprint: bytes, origin: Origin
    ) -> tuple[ApiKey, bool]:
        """Store a key, or return the one made with the same Idempotency-Key and True; IdempotencyKeyReused."""
        ...

    async def live(self, user_id: UUID, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        """Return the keys of an account, newest first."""
        ...

    async def delete(self, user_id: UUID, key_id: UUID, origin: Origin) -> bool:
        """Delete a key and void the tokens made from it."""
        ...

    async def use(self, digest: bytes) -> tuple[ApiKey, User] | None:
        """Return a key that has not expired, with its active owner, and note the use."""
        ...


class SigningKeys(Protocol):
    """The stored signing keys."""

    async def all(self) -> Sequence[StoredKey]:
        """Return the keys that are not retired, oldest first."""
        ...

    async def add_if_newest_is(self, newest: str | None, key: StoredKey) -> bool:
        """Add a key unless somebody else has added one meanwhile."""
        ...

    async def retire(self, kid: str) -> None:
        """Forget the private half of a key that verifies nothing any more."""
        ...


class Revocations(Protocol):
    """What is void before its time."""

    async def unpushed(self) -> Sequence[Revocation]:
        """Return the live ones that Redis may not have yet."""
        ...

    async def live(self) -> Sequence[Revocation]:
        """Return all that still matter."""
        ...

    async def mark_pushed(self, done: Sequence[Revocation]) -> None:
        """Note that Redis has them."""
        ...

    async def among(self, sessions: Sequence[UUID], users: Mapping[UUID, int]) -> tuple[list[UUID], list[UUID]]:
        """Return which sessions, and which users with tokens issued at a time, are revoked."""
        ...

    async def purge(self) -> int:
        """Delete those that every token has outlived."""
        ...


class RevocationMirror(Protocol):
    """The copy of the revocations that gateways read."""

    async def instance(self) -> str | None:
        """Return what changes when the copy may have been lost; None when it has not all of them."""
        ...

    async def write(self, revocations: Sequence[Revocation]) -> None:
        """Copy them."""
        ...

    async def complete(self) -> None:
        """Say that all live ones were copied."""
        ...


class Erasures(Protocol):
    """People who asked to be forgotten."""

    async def erase(self, user_id: UUID, erasure_id: str, origin: Origin) -> Erasure | None:
        """Delete an account and everything of it, and ask the other services; raises LastAdmin."""
        ...

    async def find(self, erasure_id: str) -> Erasure | None:
        """Return how far an erasure is."""
        ...

    async def confirm(self, erasure_id: str, service: str, at: datetime) -> None:
        """Note that one service has forgotten the person."""
        ...

    async def ask_again(self, *, after: float) -> int:
        """Publish once more what has been waiting for ``after`` seconds; returns how many."""
        ...


class Resets(Protocol):
    """Tokens for people who forgot their password."""

    async def issue(self, user_id: UUID, digest: bytes, lifetime: int, origin: Origin) -> datetime | None:
        """Store a token and return when it ends; None without such an account."""
        ...

    async def request(self, email_key: str, digest: bytes, *, lifetime: int, pause: int, origin: Origin) -> User | None:
        """Store a token beside earlier ones; None without such an active account, or ``pause`` s after the last."""
        ...

    async def find(self, digest: bytes) -> User | None:
        """Return the account of a token that may still be used."""
        ...

    async def use(self, digest: bytes, password_hash: str, origin: Origin) -> bool:
        """Set the password and end every session; False when the token is not valid (any more)."""
        ...


class MailNotSent(Exception):
    """The mail server cannot be reached or refused; the text can be logged."""


class Mailer(Protocol):
    """The way out for mails."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send a mail; raises MailNotSent."""
        ...


class Audit(Protocol):
    """The audit log."""

    async def read(self, filters: Mapping[str, Any], *, before: UUID | None, limit: int) -> Sequence[AuditEntry]:
        """Return entries, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a log-in failed lately, and how many seconds ago the last time."""

    count: int = 0
    age: float = 0.0


class FailureCounts(Protocol):
    """Counts of failed log-ins that forget by themselves."""

    async def read(self, keys: Sequence[str]) -> list[Failures]:
        """Return the counts; raises DependencyUnavailable."""
        ...

    async def add(self, keys: Sequence[str], window: int) -> None:
        """Count one more for each key; forgotten ``window`` seconds after the last."""
        ...

    async def clear(self, key: str) -> None:
        """Forget a key."""
        ...
