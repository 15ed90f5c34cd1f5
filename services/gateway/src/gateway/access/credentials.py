"""Credentials: access tokens, which are verified here, and API keys, which auth exchanges for tokens."""

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import Awaitable, Callable

from cachetools import LRUCache, TTLCache

from gateway.access.plans import GatewayPlans
from gateway.request import Caller, Request
from parley import errors
from parley.errors import ParleyError
from parley.security.tokens import MAX_TOKEN_LENGTH, TokenVerifier

API_KEY = re.compile(r"parley_[0-9A-Za-z]{38}\Z")
API_KEY_PREFIX = "parley_"
MAX_CALLERS = 20_000
MAX_INVALID_KEYS = 10_000
INVALID_KEY_TTL = 10.0
"""Seconds for which an API key that auth rejected stays rejected."""
RENEW_BEFORE = 60
"""An exchanged token is renewed when fewer seconds are left."""

ExchangeKey = Callable[[str], Awaitable[str]]


class Authenticator:
    """Finds the caller of a request. Callers are cached by the digest of their credential until it expires."""

    def __init__(self, verifier: TokenVerifier, plans: GatewayPlans, exchange_key: ExchangeKey) -> None:
        """``exchange_key`` returns an access token for an API key, or raises ParleyError.

        The verifier needs no cache of its own.
        """
        self._verifier, self._plans, self._exchange_key = verifier, plans, exchange_key
        self._callers: LRUCache[bytes, Caller] = LRUCache(MAX_CALLERS)
        self._invalid_keys: TTLCache[bytes, bool] = TTLCache(MAX_INVALID_KEYS, INVALID_KEY_TTL)
        self._exchanges: dict[bytes, asyncio.Task[Caller]] = {}

    async def identify(self, request: Request) -> Caller:
        """Return the caller. Raise an Unauthenticated error, AmbiguousCredentials or DependencyUnavailable."""
        return await self._caller_of(presented_credential(request))

    async def identify_token(self, token: str) -> Caller:
        """Return the caller of an access token. Raise an Unauthenticated error or DependencyUnavailable."""
        if token.startswith(API_KEY_PREFIX) or len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise errors.TokenInvalid
        return await self._caller_of(token.encode())

    def must_exchange(self, request: Request) -> bool:
        """Return whether the request has an API key that only auth can tell from an invalid one."""
        try:
            credential = presented_credential(request)
        except ParleyError:
            return False
        digest = hashlib.sha256(credential).digest()
        return API_KEY.match(credential.decode("latin-1")) is not None and not (
            digest in self._callers or digest in self._invalid_keys
        )

    def forget(self, request: Request) -> None:
        """Remove the request's credential from the cache, because it was revoked."""
        with contextlib.suppress(ParleyError):
            self._callers.pop(hashlib.sha256(presented_credential(request)).digest(), None)

    async def _caller_of(self, credential: bytes) -> Caller:
        if len(credential) > MAX_TOKEN_LENGTH:
            raise errors.TokenInvalid
        digest = hashlib.sha256(credential).digest()
        try:
            caller = self._callers[digest]
        except KeyError:
            pass
        else:
            if caller.expires_at - time.time() > (RENEW_BEFORE if caller.from_key else 0):
                return caller
        text = credential.decode("latin-1")
        if text.startswith(API_KEY_PREFIX):
            caller = await self._exchange_once(text, digest)
        else:
            caller = await self._verify(text)
        self._callers[digest] = caller
        return caller

    async def _verify(self, token: str) -> Caller:
        principal = await self._verifier.verify(token)
        plan, user = self._plans.find(principal.plan), str(principal.user_id)
        return Caller(
            principal,
            limits=plan.limits(user),
            strict_limits=plan.limits(user, strict=True),
            max_streams=plan.streams,
        )

    async def _exchange_once(self, key: str, digest: bytes) -> Caller:
        if not API_KEY.match(key) or digest in self._invalid_keys:
            raise errors.ApiKeyInvalid
        task = self._exchanges.get(digest)
        if task is None:
            task = self._exchanges[digest] = asyncio.get_running_loop().create_task(self._exchange(key, digest))
            task.add_done_callback(lambda _: self._exchanges.pop(digest, None))
        return await asyncio.shield(task)

    async def _exchange(self, key: str, digest: bytes) -> Caller:
        try:
            return await self._verify(await self._exchange_key(key))
        except errors.Unauthenticated:
            self._callers.pop(digest, None)
            self._invalid_keys[digest] = True
            raise errors.ApiKeyInvalid from None
        except ParleyError:
            known = self._callers.get(digest)
            if known is not None and known.expires_at > time.time():
                return known
            raise


def presented_credential(request: Request) -> bytes:
    """Return the only credential of a request. Raise CredentialsMissing or AmbiguousCredentials."""
    found = request.used_headers
    authorization, key = found.get(b"authorization"), found.get(b"x-api-key")
    if request.repeated_headers and request.repeated_headers & {b"authorization", b"x-api-key"}:
        raise errors.AmbiguousCredentials
    if not authorization:
        if not key:
            raise errors.CredentialsMissing
        if not key.startswith(API_KEY_PREFIX.encode()):
            raise errors.ApiKeyInvalid
        return key
    if authorization[:7].lower() != b"bearer ":
        raise errors.CredentialsMissing
    token = authorization[7:].strip()
    if key is not None and key != token:
        raise errors.AmbiguousCredentials
    if not token:
        raise errors.CredentialsMissing
    return token
