"""Rate limit headers and the 429 error, from the decision of the limiter."""

import functools
import math

from gateway.http import Header
from parley.errors import RateLimited
from parley.ratelimit.limiter import Limit, LimitState


def quota_headers(limit: Limit, state: LimitState) -> tuple[Header, ...]:
    """Return the remaining quota as the headers of the IETF draft and of OpenAI."""
    reset = math.ceil(state.reset)
    name, policy, count = _constant_headers(limit.policy, limit.count, limit.period)
    return (
        policy,
        (b"ratelimit", b"%b;r=%d;t=%d" % (name, state.remaining, reset)),
        count,
        (b"x-ratelimit-remaining-requests", b"%d" % state.remaining),
        (b"x-ratelimit-reset-requests", b"%ds" % reset),
    )


@functools.lru_cache(maxsize=256)
def _constant_headers(policy: str, count: int, period: int) -> tuple[bytes, Header, Header]:
    """Return the quoted name of a policy, and the headers that depend on the policy only."""
    name = b'"%b"' % policy.encode()
    return (
        name,
        (b"ratelimit-policy", b"%b;q=%d;w=%d" % (name, count, period)),
        (b"x-ratelimit-limit-requests", b"%d" % count),
    )


def rate_limited(limit: Limit, retry_after: float) -> RateLimited:
    """Return the error for an exceeded limit. ``retry_after`` is in seconds."""
    seconds = max(1, math.ceil(retry_after))
    units = {1: "per second", 60: "per minute", 3600: "per hour", 86_400: "per day"}
    period = units.get(limit.period, f"in {limit.period} s")
    detail = f"At most {limit.count} requests {period} are allowed. Retry in {seconds} s."
    headers = {"Retry-After": str(seconds), "retry-after-ms": str(max(1, math.ceil(retry_after * 1000)))}
    return RateLimited(detail, headers=headers)
