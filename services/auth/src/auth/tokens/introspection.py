"""What tokens say, and ending them."""

from typing import Any

import jwt

from auth.accounts.ports import Users
from auth.model import Origin
from auth.revocations.service import Revocations
from auth.security import secret_tokens as tokens
from auth.security.scopes import ADMIN
from auth.sessions.ports import Sessions
from auth.tokens.token_issuer import API_KEY_CLIENT
from parley.errors import Unauthenticated
from parley.ids import parse_id
from parley.security.identity import INTERNAL_SCOPE, Principal, Verifier
from parley.security.tokens import AUDIENCE

INACTIVE: dict[str, Any] = {"active": False}


class TokenInfo:
    """Revocation (RFC 7009) and introspection (RFC 7662)."""

    def __init__(
        self, verifier: Verifier, sessions: Sessions, users: Users, revocations: Revocations, *, issuer: str
    ) -> None:
        """Take what verifies tokens, and the stores."""
        self._verifier, self._sessions, self._users = verifier, sessions, users
        self._revocations, self._issuer = revocations, issuer

    async def revoke(self, token: str, origin: Origin) -> None:
        """End the session a refresh or access token belongs to; anything else is ignored."""
        found = await self._session_of(token)
        if found is None:
            return
        user_id, session_id = found
        by = Origin("user", user_id, origin.address, origin.user_agent, origin.request_id)
        await self._sessions.end(user_id, session_id, "logout", by)
        await self._revocations.push()

    async def introspect(self, token: str, asking: Principal) -> dict[str, Any]:
        """Return what a live access token says to whoever may know."""
        try:
            found = await self._verifier.verify(token)
        except Unauthenticated:
            return INACTIVE
        if found.user_id != asking.user_id and not asking.scopes & {ADMIN, INTERNAL_SCOPE}:
            return INACTIVE
        user = await self._users.by_id(found.user_id)
        claims = jwt.decode(token, options={"verify_signature": False})  # verified above
        return {
            "active": True,
            "scope": claims["scope"],
            "client_id": found.client_id,
            "username": user.username if user else None,
            "token_type": "Bearer",
            "exp": found.expires_at,
            "iat": found.issued_at,
            "sub": str(found.user_id),
            "aud": AUDIENCE,
            "iss": self._issuer,
            "jti": claims["jti"],
            "sid": found.session_id,
        }

    async def _session_of(self, token: str) -> tuple[Any, Any] | None:
        if tokens.looks_like_refresh_token(token):
            session = await self._sessions.by_token(tokens.digest(token))
            return (session.user_id, session.id) if session else None
        try:
            principal = await self._verifier.verify(token)
        except Unauthenticated:
            return None
        session_id = parse_id(principal.session_id)
        if session_id is None or principal.client_id == API_KEY_CLIENT:
            return None
        return principal.user_id, session_id
