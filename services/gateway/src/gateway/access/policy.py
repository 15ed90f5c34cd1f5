"""Access policy: credential, scope, revocation and rate limits of a request."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from cachetools import LRUCache

from gateway.access.credential_hints import explain
from gateway.access.credentials import Authenticator
from gateway.access.rate_limit_headers import quota_headers, rate_limited
from gateway.access.revocations import RevocationLookup
from gateway.request import Caller, ClientAddress, Request
from gateway.routes import Route
from parley import errors
from parley.errors import ParleyError
from parley.ratelimit.limiter import Decision, Limit, TokenSession

MAX_REFUSED_ADDRESSES = 10_000
"""Addresses that are remembered while they are over their limit."""


class LimitChecker(Protocol):
    """Decides on rate limits and looks up revocations in the same call, as ``parley.ratelimit.Limiter`` does."""

    async def check(self, limits: Sequence[Limit], *, cost: int = 1, session: TokenSession | None = None) -> Decision:
        """Consume ``cost`` units of every limit, or of none when one is exceeded or the session was revoked."""


class AccessPolicy:
    """Admits requests, and the frames of open WebSockets."""

    def __init__(
        self,
        authenticator: Authenticator,
        limiter: LimitChecker,
        revocations: RevocationLookup,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``revocations`` is the fallback while Redis, and so the limiter, cannot look up revoked sessions."""
        self._authenticator, self._limiter, self._revocations = authenticator, limiter, revocations
        self._clock = clock
        self._refused_until: LRUCache[str, float] = LRUCache(MAX_REFUSED_ADDRESSES)

    async def admit(self, request: Request, route: Route) -> None:
        """Check credential, revocation, rate limits and scope. Raise the error that rejects the request."""
        if route.scope is None:
            await self.admit_anonymous(request, route)
            return
        caller = await self._identify(request)
        decision = await self._decide(caller, cost=route.cost, strict=route.strict)
        if decision.revoked and caller.from_key:
            # A change of the account voids the token of a key, too. Auth knows whether the key itself is still valid.
            self._authenticator.forget(request)
            caller = await self._identify(request)
            decision = await self._decide(caller, cost=route.cost, strict=route.strict)
        await self._conclude(request, caller, decision)
        if route.scope:
            caller.principal.require(route.scope)

    async def admit_anonymous(self, request: Request, route: Route) -> None:
        """Consume the limit of the client's address. Raise RateLimited."""
        limits = request.client.strict_limits if route.strict else request.client.limits
        self._apply(request, await self._limiter.check(limits, cost=route.cost))

    async def count_refused(self, request: Request, error: ParleyError) -> ParleyError:
        """Count a refused request on the client's address if no limit has counted it. Return the error to send."""
        if not request.rate_limit_headers:
            try:
                self._apply(request, await self._limiter.check(request.client.limits))
            except errors.RateLimited as limited:
                return limited
        return error

    async def count_unparsed(self, client: ClientAddress) -> errors.RateLimited | None:
        """Count a request that was refused before it was parsed. Return the error if its address is over the limit."""
        decision = await self._limiter.check(client.limits)
        return None if decision.allowed else _refusal(client, decision)

    async def renew(self, request: Request, route: Route, token: str) -> Caller:
        """Check a token received over an open WebSocket, like the credential of a request.

        Raise the error that rejects it, TokenInvalid if it belongs to another user.
        """
        try:
            caller = await self._authenticator.identify_token(token)
            if request.caller is not None and request.caller.user != caller.user:
                raise errors.TokenInvalid
        except errors.Unauthenticated:
            await self._count_failed_login(request)
            raise
        await self._admit_caller(request, caller, cost=route.cost, strict=route.strict)
        return caller

    async def refresh(self, request: Request) -> str | None:
        """Exchange the API key of an open WebSocket again before its token expires. Return the new token, if any."""
        known = request.caller
        if known is None or not known.from_key:
            return None
        caller = request.caller = await self._authenticator.identify(request)
        return caller.principal.token if caller.principal.token != known.principal.token else None

    async def admit_frame(self, request: Request, *, costly: bool) -> None:
        """Count a frame of an open WebSocket like a request of its caller. ``costly`` frames start a turn.

        Raise the error that ends the WebSocket, CredentialsMissing before the caller is known.
        """
        if request.caller is None:
            raise errors.CredentialsMissing
        await self._admit_caller(request, request.caller, cost=1, strict=costly)

    async def find_revoked(self, sessions: Sequence[TokenSession]) -> set[TokenSession]:
        """Return the revoked sessions: from Redis, or from auth while Redis is unavailable."""
        decisions = await asyncio.gather(*(self._limiter.check((), session=session) for session in sessions))
        unknown = [s for s, d in zip(sessions, decisions, strict=True) if not d.revoked and not d.revocations_known]
        found = {s for s, d in zip(sessions, decisions, strict=True) if d.revoked}
        return found | await self._revocations.revoked_among(unknown)

    async def _identify(self, request: Request) -> Caller:
        """Return the caller. Count an invalid credential on the client's address."""
        await self._refuse_exchange(request)
        try:
            caller = request.caller = await self._authenticator.identify(request)
        except errors.Unauthenticated as error:
            await self._count_failed_login(request)
            raise explain(request, error) from None
        except errors.AmbiguousCredentials:
            await self._count_failed_login(request)
            raise
        return caller

    async def _admit_caller(self, request: Request, caller: Caller, *, cost: int, strict: bool) -> None:
        """Consume the caller's limits. Raise TokenRevoked, ApiKeyInvalid or RateLimited."""
        await self._conclude(request, caller, await self._decide(caller, cost=cost, strict=strict))

    async def _decide(self, caller: Caller, *, cost: int, strict: bool) -> Decision:
        """Consume the caller's limits, or none if the caller's token was revoked."""
        limits = caller.strict_limits if strict else caller.limits
        if cost > 1:  # a cost above the burst of a plan would never be admitted
            cost = min(cost, *(limit.burst for limit in limits))
        decision = await self._limiter.check(limits, cost=cost, session=caller.session)
        if not decision.revoked and not decision.revocations_known:
            decision.revoked = await self._revocations.is_revoked(caller.session)
        return decision

    async def _conclude(self, request: Request, caller: Caller, decision: Decision) -> None:
        """Raise TokenRevoked, ApiKeyInvalid or RateLimited if the decision refuses the caller."""
        if decision.revoked:
            self._authenticator.forget(request)
            await self._count_failed_login(request)
            raise errors.ApiKeyInvalid if caller.from_key else errors.TokenRevoked
        try:
            self._apply(request, decision)
        except errors.RateLimited as error:
            if not (await self._limiter.check(request.client.limits)).allowed:
                error.headers["Connection"] = "close"
            raise

    async def _count_failed_login(self, request: Request) -> None:
        """Count a rejected credential on the client's address. Raise RateLimited after too many."""
        decision = await self._limiter.check(request.client.strict_limits)
        if not decision.allowed:
            self._refused_until[request.client.strict_limits[0].key] = self._clock() + decision.retry_after
        self._apply(request, decision)

    async def _refuse_exchange(self, request: Request) -> None:
        """Raise RateLimited instead of asking auth for an API key, while the client's address is over its limit."""
        if not self._refused_until:
            return
        until = self._refused_until.get(request.client.strict_limits[0].key, 0.0)
        if self._clock() < until and self._authenticator.must_exchange(request):
            await self._count_failed_login(request)

    @staticmethod
    def _apply(request: Request, decision: Decision) -> None:
        shown = decision.shown()
        if shown is not None:
            request.rate_limit_headers = quota_headers(*shown)
        if not decision.allowed:
            raise _refusal(request.client, decision)


def _refusal(client: ClientAddress, decision: Decision) -> errors.RateLimited:
    shown = decision.shown()
    assert shown is not None
    error = rate_limited(shown[0], decision.retry_after)
    if shown[0] in client.limits + client.strict_limits:
        error.headers["Connection"] = "close"  # so that refusals cost a connection each
    return error
