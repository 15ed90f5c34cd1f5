"""Issuer of access tokens (RFC 9068)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from auth.accounts.model import User
from auth.accounts.plans import DEFAULT_PLAN, Plans
from auth.signing_keys.key_ring import KeyRing
from parley.ids import new_id
from parley.security.identity import INTERNAL_SCOPE
from parley.security.tokens import AUDIENCE

API_KEY_CLIENT = "api-key"
SERVICE_CLIENT_PREFIX = "parley-"


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A signed access token and its lifetime in seconds."""

    token: str
    expires_in: int


class TokenIssuer:
    """Issues access tokens with a lifetime in seconds."""

    def __init__(
        self, keys: KeyRing, plans: Plans, *, issuer: str, lifetime: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys, self._plans, self._issuer = keys, plans, issuer
        self._lifetime, self._clock = lifetime, clock

    def for_user(
        self,
        user: User,
        *,
        session_id: UUID,
        client_id: str,
        scopes: Sequence[str],
        auth_time: datetime | None = None,
        not_after: datetime | None = None,
    ) -> IssuedToken:
        """Return a token for an account; it expires with its session or API key (``not_after``) at the latest."""
        claims: dict[str, Any] = {
            "sub": str(user.id),
            "client_id": client_id,
            "sid": str(session_id),
            "scope": " ".join(scopes),
            "plan": self._plans.effective(user.plan),
        }
        if auth_time is not None:
            claims["auth_time"] = int(auth_time.timestamp())
        # A token issued in the second of a revocation would count as issued before it.
        issued_at = max(int(self._clock()), user.not_before + 1)
        end = int(not_after.timestamp()) if not_after else None
        return self._sign(claims, issued_at, end)

    def for_service(self, name: str) -> IssuedToken:
        """Return a token for one of our own services."""
        subject = str(uuid5(NAMESPACE_URL, f"parley:service:{name}"))
        claims = {
            "sub": subject,
            "client_id": f"{SERVICE_CLIENT_PREFIX}{name}",
            "sid": subject,
            "scope": INTERNAL_SCOPE,
            "plan": DEFAULT_PLAN,
        }
        return self._sign(claims, int(self._clock()), None)

    def _sign(self, claims: dict[str, Any], issued_at: int, end: int | None) -> IssuedToken:
        expires_at = min(issued_at + self._lifetime, end or issued_at + self._lifetime)
        common = {"iss": self._issuer, "aud": AUDIENCE, "jti": str(new_id()), "iat": issued_at, "exp": expires_at}
        return IssuedToken(self._keys.sign({**common, **claims}), max(0, expires_at - issued_at))
