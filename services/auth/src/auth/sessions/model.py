"""Login sessions and refresh token rotation."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from auth.accounts.model import User


@dataclass(frozen=True, slots=True)
class Session:
    """One login on one device, with its family of refresh tokens."""

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
class NewSession:
    """A session to create, with the digest of its first refresh token; lifetimes in seconds."""

    id: UUID
    user_id: UUID
    client_id: str
    scopes: tuple[str, ...]
    token_digest: bytes
    lifetime: int
    idle_lifetime: int


@dataclass(frozen=True, slots=True)
class RefreshRotation:
    """The result of using a refresh token; ``reused`` means that the session was ended because of reuse."""

    session: Session
    user: User
    reused: bool
