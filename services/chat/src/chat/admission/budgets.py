"""Budgets per day and month: reserved at admission, settled when the turn ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from chat.admission.plans import ChatPlan, ChatPlans
from chat.catalogue import Model
from chat.model import Reservation
from chat.price import Price
from parley import times
from parley.config.plans import QuotaExceeded
from parley_events.parts import Usage

MAX_TOKENS = 2**31 - 1
EXHAUSTED = "The budget of your plan is exhausted."


@dataclass(frozen=True, slots=True)
class PeriodLimit:
    """Limits of one budget period. None means unlimited."""

    tokens: int | None
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """Tokens and cost of one budget period: used by ended turns, and reserved for running ones."""

    tokens: int = 0
    cost: Decimal = Decimal(0)
    reserved_tokens: int = 0
    reserved_cost: Decimal = Decimal(0)

    @property
    def spent(self) -> tuple[int, Decimal]:
        """The tokens and the cost that are used or reserved."""
        return self.tokens + self.reserved_tokens, self.cost + self.reserved_cost


class BudgetStore(Protocol):
    """Spending of users, by budget period."""

    async def use(self, user_id: UUID, periods: Sequence[str]) -> dict[str, BudgetUse]:
        """Return what is used and reserved, by period; periods without any are left out."""
        ...


@dataclass(frozen=True, slots=True)
class BudgetGrant:
    """A reservation and the maximum answer length that it pays for."""

    reservation: Reservation
    max_tokens: int


class Budgets:
    """Computes the reservation of a turn. The admission statement enforces the limits exactly."""

    def __init__(self, plans: ChatPlans, store: BudgetStore) -> None:
        self._plans, self._store = plans, store

    def plan(self, name: str) -> ChatPlan:
        """Return a plan by name."""
        return self._plans.find(name)

    def plans(self) -> Mapping[str, ChatPlan]:
        """Return every plan by name."""
        return self._plans.by_name

    async def use(self, user_id: UUID, limits: Mapping[str, PeriodLimit]) -> dict[str, BudgetUse]:
        """Return what a user has used and reserved in each of these periods."""
        use = await self._store.use(user_id, list(limits)) if limits else {}
        return {period: use.get(period, BudgetUse()) for period in limits}

    async def reserve(
        self,
        user_id: UUID,
        plan_name: str,
        model: Model,
        *,
        prompt_tokens: int,
        max_tokens: int,
        held: Reservation | None = None,
    ) -> BudgetGrant:
        """Return the reservation of a turn that the model answers. It replaces ``held``, which the turn has already.

        Raises QuotaExceeded if the prompt and one token exceed the budget.
        """
        limits = period_limits(self._plans.find(plan_name), times.now(), priced=model.price is not None)
        if not limits:
            return BudgetGrant(Reservation(), max_tokens)
        use = await self._store.use(user_id, list(limits))
        tokens = max_tokens
        for period, limit in limits.items():
            others = without(held, period, use.get(period, BudgetUse()).spent)
            tokens = min(tokens, affordable(limit, others, model.price, prompt_tokens))
        if tokens < 1:
            raise QuotaExceeded(EXHAUSTED)
        return BudgetGrant(
            Reservation(
                periods=tuple(limits),
                tokens=prompt_tokens + tokens,
                cost=cost_of(model.price, prompt_tokens, tokens),
                token_limits=tuple(limit.tokens for limit in limits.values()),
                cost_limits=tuple(limit.cost for limit in limits.values()),
            ),
            tokens,
        )


def without(held: Reservation | None, period: str, spent: tuple[int, Decimal]) -> tuple[int, Decimal]:
    """Return what is spent in a period apart from a reservation."""
    if held is None or period not in held.periods:
        return spent
    tokens, cost = spent
    return tokens - held.tokens, cost - held.cost


def periods_of(moment: datetime) -> tuple[str, str]:
    """Return the names of a time's UTC day and month, such as ``2026-11-22`` and ``2026-11``."""
    return f"{moment:%Y-%m-%d}", f"{moment:%Y-%m}"


def period_limits(plan: ChatPlan, moment: datetime, *, priced: bool) -> dict[str, PeriodLimit]:
    """Return the limits of the current UTC day and month, by period; unlimited periods are left out."""
    day = PeriodLimit(plan.tokens_per_day, plan.usd_per_day if priced else None)
    month = PeriodLimit(plan.tokens_per_month, plan.usd_per_month if priced else None)
    limits = dict(zip(periods_of(moment), (day, month), strict=True))
    return {period: limit for period, limit in limits.items() if limit != PeriodLimit(None, None)}


def affordable(limit: PeriodLimit, spent: tuple[int, Decimal], price: Price | None, prompt_tokens: int) -> int:
    """Return the maximum answer length that a period's remaining budget pays for; below 1 if it is exhausted."""
    tokens, cost = spent
    tokens_left = MAX_TOKENS if limit.tokens is None else limit.tokens - tokens - prompt_tokens
    if limit.cost is None or price is None:
        return tokens_left
    cost_left = limit.cost - cost - cost_of(price, prompt_tokens, 0)
    if cost_left <= 0 and price.output_per_million + price.input_per_million > 0:
        return 0
    if not price.output_per_million:
        return tokens_left
    # Rounded down, because the price rounds the cost to nine places again.
    return min(tokens_left, int(cost_left * 1_000_000 / price.output_per_million))


def cost_of(price: Price | None, prompt_tokens: int, completion_tokens: int) -> Decimal:
    """Return the maximum cost of a number of tokens."""
    if price is None:
        return Decimal(0)
    return price.of(
        Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            total_tokens=prompt_tokens + completion_tokens,
        )
    )
