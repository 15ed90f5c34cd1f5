"""Access token verification (RFC 9068), with a cache of verified tokens."""

import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from uuid import UUID

import jwt
from cachetools import LRUCache

from parley import errors
from parley.security.identity import Principal
from parley.security.jwks import KeySet, ReportWait, open_key_set

AUDIENCE = "parley"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - the media type of access tokens, not a token
LEEWAY = 30
"""Seconds for which an expired token is accepted, because clocks differ."""
MAX_FUTURE = 90
"""Seconds by which auth's clock may be ahead. The sum with ``LEEWAY`` is at most auth's ``CLOCK_TOLERANCE``."""
MAX_TOKEN_LENGTH = 8192
MAX_KEY_ID_LENGTH = 64
_REQUIRED = ["exp", "iat", "iss", "aud", "sub", "jti", "sid", "client_id", "scope"]

Clock = Callable[[], float]


@contextlib.asynccontextmanager
async def open_verifier(
    jwks_url: str, *, issuer: str, preload: bool, report: ReportWait
) -> AsyncIterator["TokenVerifier"]:
    """Open a verifier that fetches its keys from ``jwks_url``, as ``open_key_set`` does."""
    async with open_key_set(jwks_url, preload=preload, report=report) as keys:
        yield TokenVerifier(keys, issuer=issuer)


class TokenVerifier:
    """Turns an access token into a Principal.

    Verified tokens are cached until they expire, in an LRU cache of ``cache_size`` entries.
    """

    def __init__(
        self,
        keys: KeySet,
        *,
        issuer: str,
        audience: str = AUDIENCE,
        cache_size: int = 20_000,
        clock: Clock = time.time,
    ) -> None:
        self._keys, self._issuer, self._audience, self._clock = keys, issuer, audience, clock
        self._cache: LRUCache[bytes, Principal] = LRUCache(cache_size)

    def cached(self, token: str) -> Principal | None:
        """Return the principal of a token that was verified before and has not expired."""
        digest = hashlib.sha256(token.encode()).digest()
        try:
            principal = self._cache[digest]
        except KeyError:
            return None
        if principal.expires_at <= self._clock():
            del self._cache[digest]
            return None
        return principal

    async def verify(self, token: str) -> Principal:
        """Return the principal; raise TokenInvalid, TokenExpired, or DependencyUnavailable without keys."""
        return self.cached(token) or await self._verify(token)

    async def _verify(self, token: str) -> Principal:
        key = await self._keys.find(_key_id(token))
        if key is None:
            raise errors.TokenInvalid
        principal = _principal(token, _claims(token, key, self._issuer, self._audience))
        if principal.expires_at > self._clock() and self._cache.maxsize:
            self._cache[hashlib.sha256(token.encode()).digest()] = principal
        return principal


def _key_id(token: str) -> str:
    """Check the header of a token and return its key id."""
    if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
        raise errors.TokenInvalid
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise errors.TokenInvalid from None
    kid = header.get("kid")
    if header.get("typ") != TOKEN_TYPE or "crit" in header or not isinstance(kid, str) or len(kid) > MAX_KEY_ID_LENGTH:
        raise errors.TokenInvalid
    return kid


def _claims(token: str, key: jwt.PyJWK, issuer: str, audience: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY,
            options={"require": _REQUIRED, "strict_aud": True, "verify_iat": False},
        )
    except jwt.ExpiredSignatureError:
        raise errors.TokenExpired from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        raise errors.TokenInvalid from None
    issued_at = claims["iat"]
    if not isinstance(issued_at, int | float) or issued_at > time.time() + MAX_FUTURE:
        raise errors.TokenInvalid
    return claims


def _principal(token: str, claims: Mapping[str, Any]) -> Principal:
    try:
        return Principal(
            user_id=UUID(claims["sub"]),
            scopes=frozenset(str(claims["scope"]).split()),
            plan=str(claims.get("plan", "default")),
            session_id=str(claims["sid"]),
            client_id=str(claims["client_id"]),
            issued_at=int(claims["iat"]),
            auth_time=int(claims["auth_time"]) if "auth_time" in claims else None,
            expires_at=int(claims["exp"]),
            token=token,
        )
    except (TypeError, ValueError, AttributeError, OverflowError):
        raise errors.TokenInvalid from None
