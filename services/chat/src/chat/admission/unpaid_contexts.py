"""Bound of what is read for requests that are refused afterwards, for which no limit takes tokens."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

from chat.admission.plans import ChatPlan
from chat.admission.token_limits import WINDOW_SECONDS, TokenLimits
from parley.errors import ParleyError, RateLimited
from parley.process.locks import KeyedLocks

UNPAID_TOKENS = 1_000_000
"""Tokens of contexts that a process reads for a user in a minute and then refuses; more if ``tokens_per_minute`` is."""
MAX_USERS = 10_000
"""Users that are remembered. Beyond it, the one whose context was refused longest ago is forgotten."""


@dataclass(slots=True)
class ContextReading:
    """The tokens that were read for a request so far."""

    tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Debt:
    tokens: float
    at: float

    def left(self, allowed: int) -> float:
        """Return the tokens that are still counted."""
        return max(0.0, self.tokens - (_now() - self.at) * allowed / WINDOW_SECONDS)


class UnpaidContexts:
    """Counts what is read for refused requests, and refuses a user's next ones before anything is read."""

    def __init__(self, token_limits: TokenLimits) -> None:
        self._token_limits = token_limits
        self._debts: dict[UUID, _Debt] = {}
        self._locks = KeyedLocks(asyncio.Lock)

    @contextlib.asynccontextmanager
    async def reading(self, user_id: UUID, plan: ChatPlan) -> AsyncIterator[ContextReading]:
        """Open while a request reads its context and pays for it. A refusal counts what it read, an outage does not.

        Raises RateLimited if too much was read for refused requests. From half of it on, the user's requests read one
        at a time, so that many at once do not exceed it by more than one.
        """
        allowed = max(UNPAID_TOKENS, plan.tokens_per_minute or 0)
        async with contextlib.AsyncExitStack() as stack:
            if self._debt(user_id, allowed) >= allowed / 2:
                await stack.enter_async_context(self._locks.of(user_id))
            if (debt := self._debt(user_id, allowed)) >= allowed:
                raise await self._refusal(user_id, plan, debt, allowed)
            reading = ContextReading()
            try:
                yield reading
            except ParleyError as error:
                if reading.tokens and error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    self._add(user_id, reading.tokens, allowed)
                raise

    def _debt(self, user_id: UUID, allowed: int) -> float:
        debt = self._debts.get(user_id)
        return debt.left(allowed) if debt is not None else 0.0

    def _add(self, user_id: UUID, tokens: int, allowed: int) -> None:
        """Add to a user's debt. More than twice of what is allowed is not counted: the user waits for a minute."""
        total = min(2 * allowed, self._debt(user_id, allowed) + tokens)
        self._debts.pop(user_id, None)
        self._debts[user_id] = _Debt(total, _now())
        if len(self._debts) > MAX_USERS:
            del self._debts[next(iter(self._debts))]

    async def _refusal(self, user_id: UUID, plan: ChatPlan, debt: float, allowed: int) -> RateLimited:
        wait = int((debt - allowed) * WINDOW_SECONDS / allowed) + 1
        quota = await self._token_limits.remaining(user_id, plan)
        return RateLimited(
            f"Your refused requests had prompts of more than {allowed} tokens within a minute. "
            f"Retry in {wait} s, or start a new conversation.",
            headers={"Retry-After": str(wait), **(quota.headers() if quota is not None else {})},
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
