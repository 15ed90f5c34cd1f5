"""Token revocation (RFC 7009): logging out with a refresh or access token."""

from uuid import UUID

from auth.audit.model import RequestOrigin
from auth.revocations.service import RevocationService
from auth.security import secret_tokens
from auth.sessions.store import SessionStore
from auth.tokens.token_issuer import API_KEY_CLIENT
from parley.errors import Unauthenticated
from parley.ids import parse_id
from parley.security.identity import Verifier


class TokenRevoker:
    """Ends the session that a token belongs to."""

    def __init__(self, verifier: Verifier, sessions: SessionStore, revocations: RevocationService) -> None:
        self._verifier, self._sessions, self._revocations = verifier, sessions, revocations

    async def revoke(self, token: str, origin: RequestOrigin) -> None:
        """End the session of a refresh or access token; any other token is ignored."""
        found = await self._session_of(token)
        if found is None:
            return
        user_id, session_id = found
        actor = RequestOrigin("user", user_id, origin.address, origin.user_agent, origin.request_id)
        await self._sessions.end(user_id, session_id, "logout", actor)
        await self._revocations.push()

    async def _session_of(self, token: str) -> tuple[UUID, UUID] | None:
        if secret_tokens.looks_like_refresh_token(token):
            session = await self._sessions.by_token(secret_tokens.digest(token))
            return (session.user_id, session.id) if session else None
        try:
            principal = await self._verifier.verify(token)
        except Unauthenticated:
            return None
        session_id = parse_id(principal.session_id)
        if session_id is None or principal.client_id == API_KEY_CLIENT:
            return None
        return principal.user_id, session_id
