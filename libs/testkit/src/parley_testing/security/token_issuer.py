"""Issuer of access tokens for tests."""

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from parley.ids import new_id
from parley.security.jwks import KeySet
from parley.security.tokens import AUDIENCE, TOKEN_TYPE, TokenVerifier

ISSUER = "http://localhost:8000"
ALL_SCOPES = "account chat:write events:read history:read history:write"


class TestIssuer:
    """Signs any claims in place of auth, and makes a verifier for its key."""

    __test__ = False

    def __init__(self, issuer: str = ISSUER, kid: str = "test-key") -> None:
        self.issuer, self.kid = issuer, kid
        self.key = Ed25519PrivateKey.generate()

    def jwks(self) -> dict[str, Any]:
        """Return the JWKS document."""
        public = OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": self.kid, "alg": "EdDSA", "use": "sig"}]}

    def verifier(self) -> TokenVerifier:
        """Return a verifier with this issuer's key."""

        async def fetch() -> Mapping[str, Any]:
            return self.jwks()

        return TokenVerifier(KeySet(fetch), issuer=self.issuer)

    def claims(self, user_id: UUID | None = None, *, scope: str = ALL_SCOPES, lifetime: int = 900) -> dict[str, Any]:
        """Return valid claims."""
        now = int(time.time())
        return {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": str(user_id or new_id()),
            "client_id": "parley-web",
            "sid": str(new_id()),
            "jti": str(new_id()),
            "iat": now,
            "auth_time": now,
            "exp": now + lifetime,
            "scope": scope,
            "plan": "default",
        }

    def sign(self, claims: Mapping[str, Any], *, headers: Mapping[str, Any] | None = None) -> str:
        """Sign claims as an access token."""
        return jwt.encode(
            dict(claims), self.key, algorithm="EdDSA", headers={"typ": TOKEN_TYPE, "kid": self.kid, **(headers or {})}
        )

    def token(self, user_id: UUID | None = None, *, scope: str = ALL_SCOPES, lifetime: int = 900) -> str:
        """Return a valid token of a user."""
        return self.sign(self.claims(user_id, scope=scope, lifetime=lifetime))
