"""A person's sessions, one for each device they logged in on."""

from collections.abc import Sequence
from uuid import UUID

from auth.model import Origin, Session
from auth.revocations.service import Revocations
from auth.sessions.ports import Sessions
from parley.errors import NotFound
from parley.ids import parse_id
from parley.security.identity import Principal

CURRENT = "current"


class Devices:
    """Lists and ends sessions."""

    def __init__(self, sessions: Sessions, revocations: Revocations) -> None:
        """Take the sessions."""
        self._sessions, self._revocations = sessions, revocations

    async def list(self, principal: Principal, *, before: UUID | None, limit: int) -> Sequence[Session]:
        """Return the caller's live sessions, newest first."""
        return await self._sessions.live(principal.user_id, before=before, limit=limit)

    async def end(self, principal: Principal, session_id: str, origin: Origin) -> None:
        """End one session of the caller (``current``: this one); raises NotFound."""
        found = parse_id(principal.session_id if session_id == CURRENT else session_id)
        if found is None or not await self._sessions.end(principal.user_id, found, "logout", origin):
            raise NotFound
        await self._revocations.push()

    async def end_others(self, principal: Principal, origin: Origin) -> None:
        """End every session of the caller but this one."""
        keep = parse_id(principal.session_id)
        await self._sessions.end_all(principal.user_id, "logout", origin, keep=keep)
        await self._revocations.push()
