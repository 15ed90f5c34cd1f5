"""Log-ins and their refresh tokens, as auth stores them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from auth.model import (
    Origin,
    RevokedReason,
    Session,
    User,
)


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
