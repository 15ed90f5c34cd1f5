"""Verifying access tokens (RFC 9068): keys from auth's JWKS, verified tokens remembered until they expire."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import jwt
import structlog

from parley import errors
from parley.security.identity import Principal

log = structlog.get_logger()

AUDIENCE = "parley"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - the type of the token, not a token
ALGORITHMS = ("EdDSA", "ES256")
LEEWAY = 30
"""Seconds that two clocks may differ."""
MAX_TOKEN = 8192
MAX_KID = 64
_REQUIRED = ["exp", "iat", "iss", "aud", "sub", "jti", "sid", "client_id", "scope"]

FetchKeys = Callable[[], Awaitable[Mapping[str, Any]]]
Clock = Callable[[], float]


class KeySet:
    """Auth's public keys, kept for ``lifetime`` seconds; an unknown ``kid`` asks again at most each ``cooldown``."""

    def __init__(
        self, fetch: FetchKeys, *, lifetime: float = 300, cooldown: float = 30, clock: Clock = time.monotonic
    ) -> None:
        """Take what fetches the JWKS document; it may raise anything."""
        self._fetch, self._lifetime, self._cooldown, self._clock = fetch, lifetime, cooldown, clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """Return the key, or None when auth does not know it.

        Raises DependencyUnavailable when no key could ever be fetched.
        """
        if kid not in self._keys or self._clock() - self._fetched_at > self._lifetime:
            await self._refresh(kid)
        if not self._keys:
            raise errors.DependencyUnavailable("Tokens cannot be verified right now.")
        return self._keys.get(kid)

    async def _refresh(self, kid: str) -> None:
        async with self._lock:
            age = self._clock() - self._fetched_at
            if kid in self._keys and age <= self._lifetime:
                return
            wait = self._cooldown if self._keys else 1.0
            if self._clock() - self._tried_at < wait:
                return
            self._tried_at = self._clock()
            await self._load()

    async def _load(self) -> None:
        try:
            document = await self._fetch()
            found = [jwt.PyJWK(key) for key in document["keys"] if key.get("alg") in ALGORITHMS]
        except Exception as error:  # noqa: BLE001 - kept keys serve on, whatever auth answers
            log.warning("keys not fetched", reason=type(error).__name__)
            return
        self._keys = {key.key_id: key for key in found if key.key_id}
        self._fetched_at = self._clock()


class TokenVerifier:
    """Turns an access token into a Principal; the second time from a bounded cache, never past ``exp``."""

    def __init__(
        self,
        keys: KeySet,
        *,
        issuer: str,
        audience: str = AUDIENCE,
        cache_size: int = 20_000,
        clock: Clock = time.time,
    ) -> None:
        """Take the keys and what ``iss`` and ``aud`` must be."""
        self._keys, self._issuer, self._audience, self._clock = keys, issuer, audience, clock
        self._cache_size = cache_size
        self._seen: OrderedDict[bytes, Principal] = OrderedDict()

    def remembered(self, token: str) -> Principal | None:
        """Return the principal of a token that was verified before and has not expired."""
        digest = hashlib.sha256(token.encode()).digest()
        principal = self._seen.get(digest)
        if principal is None:
            return None
        if principal.expires_at <= self._clock():
            del self._seen[digest]
            return None
        self._seen.move_to_end(digest)
        return principal

    async def verify(self, token: str) -> Principal:
        """Return the principal; raises TokenInvalid, TokenExpired or DependencyUnavailable (no keys)."""
        return self.remembered(token) or await self._verify(token)

    async def _verify(self, token: str) -> Principal:
        key = await self._keys.find(_kid(token))
        if key is None:
            raise errors.TokenInvalid
        principal = self._principal(token, _claims(token, key, self._issuer, self._audience))
        if principal.expires_at > self._clock():
            self._remember(token, principal)
        return principal

    def _principal(self, token: str, claims: Mapping[str, Any]) -> Principal:
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

    def _remember(self, token: str, principal: Principal) -> None:
        self._seen[hashlib.sha256(token.encode()).digest()] = principal
        if len(self._seen) > self._cache_size:
            self._seen.popitem(last=False)


def _kid(token: str) -> str:
    """Return the key id of a token whose header is acceptable."""
    if len(token) > MAX_TOKEN or not token.isascii():
        raise errors.TokenInvalid
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise errors.TokenInvalid from None
    kid = header.get("kid")
    if header.get("typ") != TOKEN_TYPE or "crit" in header or not isinstance(kid, str) or len(kid) > MAX_KID:
        raise errors.TokenInvalid
    return kid


def _claims(token: str, key: jwt.PyJWK, issuer: str, audience: str) -> dict[str, Any]:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY,
            options={"require": _REQUIRED, "strict_aud": True},
        )
    except jwt.ExpiredSignatureError:
        raise errors.TokenExpired from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        raise errors.TokenInvalid from None
