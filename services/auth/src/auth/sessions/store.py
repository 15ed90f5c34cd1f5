"""Interface of the session store."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from auth.audit.model import RequestOrigin
from auth.revocations.model import RevocationReason
from auth.sessions.model import NewSession, RefreshRotation, Session, SessionLimits


class SessionStore(Protocol):
    """Stored sessions and refresh tokens. Each method is one transaction, events and audit entry included."""

    limits: SessionLimits

    async def start(self, new: NewSession, origin: RequestOrigin) -> Session | None:
        """Store a session, the time of the login and the device; None if the account is missing or disabled.

        Also None if the password is no longer the one that was checked. The session has only those of the scopes that
        the account still has. If the account has more than ``limits.sessions`` now, those that were used longest ago
        end. Of its devices, the last ``limits.devices`` are remembered.
        """
        ...

    async def by_token(self, token_digest: bytes) -> Session | None:
        """Return the live session of a refresh token, current or already rotated.

        It has only those of its scopes that the account still has.
        """
        ...

    async def rotate(
        self, token_digest: bytes, next_digest: bytes, *, window: float, idle_lifetime: int, origin: RequestOrigin
    ) -> RefreshRotation | None:
        """Replace a refresh token by its successor; None if no live session has the token.

        A token used again within ``window`` seconds rotates to the same successor. Any other reuse ends the session, as
        long as the token is remembered: now and then, a session with more than ``limits.refresh_tokens`` forgets the
        older ones.
        """
        ...

    async def live(self, user_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Session]:
        """Return up to ``limit`` live sessions of an account with an id below ``before``, newest first."""
        ...

    async def end(self, user_id: UUID, session_id: UUID, reason: RevocationReason, origin: RequestOrigin) -> bool:
        """End one session; False if the account has no such live session."""
        ...

    async def end_all(
        self, user_id: UUID, reason: RevocationReason, origin: RequestOrigin, *, keep: UUID | None = None
    ) -> int:
        """End the sessions of an account except ``keep``; returns how many ended."""
        ...

    async def purge(self) -> int:
        """Delete sessions that ended at least a day ago; returns how many. Devices not seen for 400 days go, too."""
        ...
