"""Limits on tokens per minute."""

import contextlib
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from chat.admission.plans import ChatPlan
from chat.model import Turn
from parley.errors import RateLimited
from parley.ratelimit.model import Decision, Limit

WINDOW_SECONDS = 60
STORED_SHARE = 10
"""One of so many tokens of its prompt is the least that a stored turn takes: repeating it would fill the database."""


class RateLimiter(Protocol):
    """Shared counters of limits."""

    async def check(self, limits: Sequence[Limit], *, cost: int = 1) -> Decision:
        """Take ``cost`` units of every limit, or none if one refuses."""
        ...

    async def charge(self, limits: Sequence[Limit], cost: int) -> Decision:
        """Take ``cost`` units, or return them if negative, whether the limits allow it or not."""
        ...


@dataclass(frozen=True, slots=True)
class TokenQuota:
    """Tokens of a user's limit: the maximum, those left, and seconds until all are available again."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """Return the quota as the headers of OpenAI's API."""
        return {
            "x-ratelimit-limit-tokens": str(self.limit),
            "x-ratelimit-remaining-tokens": str(self.remaining),
            "x-ratelimit-reset-tokens": f"{self.reset}s",
        }


class TokenLimits:
    """Takes the prompt's tokens at admission and settles the difference to the real usage afterwards."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter

    async def admit(
        self, user_id: UUID, plan: ChatPlan, prompt_tokens: int, *, what: str = "This prompt reserves"
    ) -> TokenQuota | None:
        """Take the tokens of a prompt from the user's limit and return what is left of it; raises RateLimited.

        The error says ``what`` takes them.
        """
        limit = _limit(user_id, plan)
        if limit is None:
            return None
        cost = _cost(prompt_tokens, limit)
        decision = await self._limiter.check([limit], cost=cost)
        if not decision.allowed:
            wait, quota = max(1, round(decision.retry_after + 0.5)), _quota(decision)
            smaller = f", or send at most {quota.remaining} tokens" if quota.remaining else ""
            raise RateLimited(
                f"{limit.count} tokens a minute are allowed, including those reserved by running turns. {what} {cost}, "
                f"and {quota.remaining} are left. Retry in {wait} s{smaller}.",
                headers={"Retry-After": str(wait), **quota.headers()},
            )
        return _quota(decision)

    @contextlib.asynccontextmanager
    async def taken(self, user_id: UUID, plan: ChatPlan, tokens: int, *, what: str) -> AsyncIterator[None]:
        """Take tokens from the user's limit, as ``admit`` does, and return them if the context raises."""
        await self.admit(user_id, plan, tokens, what=what)
        try:
            yield
        except BaseException:
            await self.release(user_id, plan, tokens)
            raise

    async def release(self, user_id: UUID, plan: ChatPlan, prompt_tokens: int) -> None:
        """Return the tokens of a prompt for which no turn was stored."""
        limit = _limit(user_id, plan)
        if limit is not None:
            await self._limiter.charge([limit], -_cost(prompt_tokens, limit))

    async def remaining(self, user_id: UUID, plan: ChatPlan) -> TokenQuota | None:
        """Return what is left of the user's limit; None if there is none."""
        limit = _limit(user_id, plan)
        return None if limit is None else _quota(await self._limiter.charge([limit], 0))

    async def settle(self, turn: Turn, plan: ChatPlan) -> None:
        """Charge the tokens used beyond the prompt's estimate, or return the unused ones.

        A turn that failed, or that the response cache answered, is stored, too: it keeps a share of its prompt.
        """
        limit = _limit(turn.user_id, plan)
        if limit is None:
            return
        taken, used = _cost(turn.prompt_tokens, limit), turn.usage.total_tokens if turn.usage else 0
        difference = max(used, -(-taken // STORED_SHARE)) - taken
        if difference:
            await self._limiter.charge([limit], difference)


def _cost(prompt_tokens: int, limit: Limit) -> int:
    return max(1, min(prompt_tokens, limit.burst))


def _quota(decision: Decision) -> TokenQuota:
    (limit,), (state,) = decision.limits, decision.states
    return TokenQuota(limit.count, max(0, state.remaining), math.ceil(state.reset))


def _limit(user_id: UUID, plan: ChatPlan) -> Limit | None:
    count = plan.tokens_per_minute
    return Limit("tokens", str(user_id), count, WINDOW_SECONDS, count) if count else None
