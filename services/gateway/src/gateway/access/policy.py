"""May this go on: revocations and all limits in one round trip, and what the answer says about them."""

import functools
import math

from gateway.access.credentials import Credentials
from gateway.access.revocations import Revocations
from gateway.proxy.headers import Header
from gateway.request import Caller, Request
from gateway.routes import Route
from parley import errors
from parley.errors import RateLimited
from parley.ratelimit.limiter import Decision, Limit, Limiter, LimitState


class Guard:
    """Asks the limiter, and raises what refuses."""

    def __init__(self, limiter: Limiter, revocations: Revocations, credentials: Credentials) -> None:
        """Take what counts, and what knows the revoked sessions while Redis does not."""
        self._limiter, self._revocations, self._credentials = limiter, revocations, credentials

    async def admit_caller(self, request: Request, route: Route, caller: Caller) -> None:
        """Consume of the caller's limits; raises TokenRevoked or RateLimited."""
        limits = caller.strict_limits if route.strict else caller.limits
        decision = await self._limiter.check(limits, cost=route.cost, session=caller.session)
        if not decision.revoked and not decision.revocations_known:
            decision.revoked = await self._revocations.revoked(caller.session)
        if decision.revoked:
            self._credentials.forget(request)
            await self.count_failure(request)
            raise errors.ApiKeyInvalid if caller.from_key else errors.TokenRevoked
        self._conclude(request, decision)

    async def admit_anonymous(self, request: Request, route: Route) -> None:
        """Consume of the address's limit; raises RateLimited."""
        limits = request.client.strict_limits if route.strict else request.client.limits
        self._conclude(request, await self._limiter.check(limits, cost=route.cost))

    async def count_failure(self, request: Request) -> None:
        """Count a wrong credential on the address; raises RateLimited when there were too many."""
        decision = await self._limiter.check(request.client.strict_limits)
        if not decision.allowed:
            self._conclude(request, decision)

    @staticmethod
    def _conclude(request: Request, decision: Decision) -> None:
        shown = decision.shown()
        if shown is not None:
            request.quota = quota_headers(*shown)
        if not decision.allowed:
            assert shown is not None
            raise _refusal(shown[0], decision.retry_after)


def quota_headers(limit: Limit, state: LimitState) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that tell how much is left: the IETF draft's and OpenAI's."""
    reset = math.ceil(state.reset)
    name, policy, count = _constant(limit.policy, limit.count, limit.period)
    return (
        policy,
        (b"ratelimit", b"%b;r=%d;t=%d" % (name, state.remaining, reset)),
        count,
        (b"x-ratelimit-remaining-requests", b"%d" % state.remaining),
        (b"x-ratelimit-reset-requests", b"%ds" % reset),
    )


@functools.lru_cache(maxsize=256)
def _constant(policy: str, count: int, period: int) -> tuple[bytes, Header, Header]:
    """Return the quoted name of a policy, and the headers that are the same on each of its answers."""
    name = b'"%b"' % policy.encode()
    return (
        name,
        (b"ratelimit-policy", b"%b;q=%d;w=%d" % (name, count, period)),
        (b"x-ratelimit-limit-requests", b"%d" % count),
    )


def _refusal(limit: Limit, retry_after: float) -> RateLimited:
    seconds = max(1, math.ceil(retry_after))
    period = {1: "a second", 60: "a minute", 3600: "an hour", 86_400: "a day"}.get(limit.period, f"in {limit.period} s")
    detail = f"{limit.count} requests {period} allowed. Retry in {seconds} s."
    headers = {"Retry-After": str(seconds), "retry-after-ms": str(max(1, math.ceil(retry_after * 1000)))}
    return RateLimited(detail, headers=headers)
