"""Who asks: a bearer token verified here, or an API key that auth exchanges for a token."""

import asyncio
import contextlib
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from gateway.access.plans import Plans
from gateway.request import Caller, Request
from parley import errors
from parley.errors import ParleyError
from parley.ids import pseudonym
from parley.security.tokens import TokenVerifier

KEY = re.compile(r"parley_[0-9A-Za-z]{38}\Z")
MAX_CALLERS = 20_000
MAX_REFUSED = 10_000
REFUSED_FOR = 10.0
"""Seconds for which auth's no to an API key is remembered."""
FRESH = 60
"""An exchanged token is renewed when it has fewer seconds left."""

ExchangeKey = Callable[[str], Awaitable[str]]


class Credentials:
    """Finds the caller of a request; remembers callers by the digest of their credential until it expires."""

    def __init__(self, verifier: TokenVerifier, plans: Plans, exchange_key: ExchangeKey) -> None:
        """Take what verifies tokens, and what exchanges an API key for one (it raises ParleyError)."""
        self._verifier, self._plans, self._exchange_key = verifier, plans, exchange_key
        self._callers: OrderedDict[bytes, Caller] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Caller]] = {}

    async def identify(self, request: Request) -> Caller:
        """Return the caller; raises an Unauthenticated error, AmbiguousCredentials or DependencyUnavailable."""
        credential = presented(request)
        digest = hashlib.sha256(credential).digest()
        caller = self._callers.get(digest)
        now = time.time()
        if caller is not None and caller.expires_at - now > (FRESH if caller.from_key else 0):
            self._callers.move_to_end(digest)
            return caller
        return await self._learn(credential, digest)

    def forget(self, request: Request) -> None:
        """Drop what is remembered of the request's credential, if it has one: it was revoked."""
        with contextlib.suppress(ParleyError):
            self._callers.pop(hashlib.sha256(presented(request)).digest(), None)

    async def caller_of(self, token: str) -> Caller:
        """Return the caller of an access token."""
        principal = await self._verifier.verify(token)
        return Caller(principal, self._plans.find(principal.plan), pseudonym(str(principal.user_id)))

    async def _learn(self, credential: bytes, digest: bytes) -> Caller:
        text = credential.decode("latin-1")
        if not text.startswith("parley_"):
            caller = await self.caller_of(text)
        else:
            caller = await self._exchange_once(text, digest)
        self._callers[digest] = caller
        if len(self._callers) > MAX_CALLERS:
            self._callers.popitem(last=False)
        return caller

    async def _exchange_once(self, key: str, digest: bytes) -> Caller:
        if not KEY.match(key) or self._refused.get(digest, 0) > time.monotonic():
            raise errors.ApiKeyInvalid
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.get_running_loop().create_task(self._exchange(key, digest))
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(task)

    async def _exchange(self, key: str, digest: bytes) -> Caller:
        try:
            return await self.caller_of(await self._exchange_key(key))
        except errors.Unauthenticated:
            self._callers.pop(digest, None)
            self._refused[digest] = time.monotonic() + REFUSED_FOR
            if len(self._refused) > MAX_REFUSED:
                self._refused.popitem(last=False)
            raise errors.ApiKeyInvalid from None
        except ParleyError:
            known = self._callers.get(digest)
            if known is not None and known.expires_at > time.time():
                return known
            raise


def presented(request: Request) -> bytes:
    """Return the one credential of a request; raises CredentialsMissing or AmbiguousCredentials."""
    found = request.found
    authorization, key = found.get(b"authorization"), found.get(b"x-api-key")
    if request.repeated and request.repeated & {b"authorization", b"x-api-key"}:
        raise errors.AmbiguousCredentials
    if authorization is None:
        if not key:
            raise errors.CredentialsMissing
        if not key.startswith(b"parley_"):
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
