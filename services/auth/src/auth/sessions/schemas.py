"""Response bodies of sessions."""

from typing import Self
from uuid import UUID

from auth.sessions.model import Session
from parley.times import Timestamp
from parley.web.schemas import ResponseBody


class SessionView(ResponseBody):
    """A login on one device."""

    id: UUID
    current: bool
    client_id: str
    user_agent: str | None
    ip: str | None
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Timestamp

    @classmethod
    def of(cls, session: Session, current: str) -> Self:
        """Return the view of a session; ``current`` is the id of the caller's session."""
        return cls(
            id=session.id,
            current=str(session.id) == current,
            client_id=session.client_id,
            user_agent=session.user_agent,
            ip=session.address,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            expires_at=session.expires_at,
        )
