"""Token introspection (RFC 7662)."""

from typing import Any

import jwt

from auth.accounts.store import AccountStore
from auth.security.scopes import ADMIN_SCOPE
from parley.errors import Unauthenticated
from parley.security.identity import INTERNAL_SCOPE, Principal, Verifier
from parley.security.tokens import AUDIENCE

INACTIVE: dict[str, Any] = {"active": False}


class TokenInspector:
    """Returns the claims of live access tokens to callers who may see them."""

    def __init__(self, verifier: Verifier, accounts: AccountStore, *, issuer: str) -> None:
        self._verifier, self._accounts, self._issuer = verifier, accounts, issuer

    async def introspect(self, token: str, inquirer: Principal) -> dict[str, Any]:
        """Return the claims of a live token that belongs to the inquirer or that an administrator asks for."""
        try:
            found = await self._verifier.verify(token)
        except Unauthenticated:
            return INACTIVE
        if found.user_id != inquirer.user_id and not inquirer.scopes & {ADMIN_SCOPE, INTERNAL_SCOPE}:
            return INACTIVE
        user = await self._accounts.by_id(found.user_id)
        claims = jwt.decode(token, options={"verify_signature": False})  # verified above; nosemgrep: unverified-token
        return {
            "active": True,
            "scope": claims["scope"],
            "client_id": found.client_id,
            "username": user.username if user else None,
            "token_type": "Bearer",  # nosec B105
            "exp": found.expires_at,
            "iat": found.issued_at,
            "sub": str(found.user_id),
            "aud": AUDIENCE,
            "iss": self._issuer,
            "jti": claims["jti"],
            "sid": found.session_id,
        }
