"""The things auth keeps."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Status = Literal["active", "disabled"]
RevokedReason = Literal["logout", "password_change", "reuse", "admin", "disabled", "erased"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from and on whose behalf: what the audit log records."""

    actor_type: Literal["user", "operator", "anonymous", "system"] = "anonymous"
    actor_id: UUID | None = None
    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


SYSTEM = Origin("system")
OPERATOR = Origin("operator")


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    id: UUID
    username: str
    email: str | None
    email_verified: bool
    display_name: str | None
    status: Status
    plan: str
    scopes: tuple[str, ...]
    password_hash: str = field(repr=False)
    not_before: int
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None

    @property
    def active(self) -> bool:
        """Say whether the account may log in."""
        return self.status == "active"


@dataclass(frozen=True, slots=True)
class Session:
    """A log-in on one device: a family of refresh tokens."""

    id: UUID
    user_id: UUID
    client_id: str
    scopes: tuple[str, ...]
    user_agent: str | None
    address: str | None
    auth_time: datetime
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    idle_expires_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key for programs; the secret itself is known only to its holder."""

    id: UUID
    user_id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A signing key as it is stored: public half in the clear, private half sealed."""

    kid: str
    public_x: str
    sealed: bytes = field(repr=False)
    created_at: datetime
    activates_at: datetime


@dataclass(frozen=True, slots=True)
class Erasure:
    """A person's wish to be forgotten, and who has done so."""

    id: str
    user_id: UUID
    requested_at: datetime
    completed_at: datetime | None
    services: dict[str, str]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log."""

    id: UUID
    at: datetime
    action: str
    actor_type: str
    actor_id: UUID | None
    target_type: str
    target_id: str
    address: str | None
    request_id: str | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Revocation:
    """Tokens that are void: those of a session (or API key), or those of a user issued up to ``not_before``."""

    kind: Literal["session", "user"]
    subject: UUID
    not_before: int
    expires_at: datetime
