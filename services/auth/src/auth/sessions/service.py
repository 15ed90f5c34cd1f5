"""Session service: listing and ending the caller's sessions."""

from collections.abc import Sequence
from uuid import UUID

from auth.audit.model import RequestOrigin
from auth.revocations.service import RevocationService
from auth.sessions.model import Session
from auth.sessions.store import SessionStore
from parley.errors import NotFound
from parley.ids import parse_id
from parley.security.identity import Principal

CURRENT = "current"


class SessionService:
    """Lists and ends the sessions of the caller."""

    def __init__(self, sessions: SessionStore, revocations: RevocationService) -> None:
        self._sessions, self._revocations = sessions, revocations

    async def list(self, principal: Principal, *, before: UUID | None, limit: int) -> Sequence[Session]:
        """Return the caller's live sessions, newest first."""
        return await self._sessions.live(principal.user_id, before=before, limit=limit)

    async def end(self, principal: Principal, session_id: str, origin: RequestOrigin) -> None:
        """End one session of the caller; ``current`` is the session of the request. Raises NotFound."""
        found = parse_id(principal.session_id if session_id == CURRENT else session_id)
        if found is None or not await self._sessions.end(principal.user_id, found, "logout", origin):
            raise NotFound
        await self._revocations.push()

    async def end_others(self, principal: Principal, origin: RequestOrigin) -> None:
        """End every session of the caller except the one of the request."""
        keep = parse_id(principal.session_id)
        await self._sessions.end_all(principal.user_id, "logout", origin, keep=keep)
        await self._revocations.push()
