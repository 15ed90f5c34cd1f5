"""Reserving what a turn may use before it runs: the reservation caps the answer, its end settles what was used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from chat.admission.plans import ChatPlan, ChatPlans
from chat.catalogue import Model
from chat.errors import QuotaExceeded
from chat.model import Reservation
from chat.prices import Price
from parley import times
from parley_events.models import Usage


@dataclass(frozen=True, slots=True)
class PeriodLimit:
    """What is left of one period; None is no limit."""

    tokens: int | None
    cost: Decimal | None


class BudgetStore(Protocol):
    """Where spending is written down."""

    async def spent(self, user_id: UUID, periods: Sequence[str]) -> dict[str, tuple[int, Decimal]]:
        """Return tokens and cost used or reserved, by period."""
        ...


@dataclass(frozen=True, slots=True)
class BudgetGrant:
    """A reservation, and the longest answer it pays for."""

    reservation: Reservation
    max_tokens: int


class Budgets:
    """Decides how much a turn may reserve; the admission's statement checks it again, exactly."""

    def __init__(self, plans: ChatPlans, ledger: BudgetStore) -> None:
        self._plans, self._ledger = plans, ledger

    def plan(self, name: str) -> ChatPlan:
        """Return the plan of that name."""
        return self._plans.find(name)

    async def reserve(
        self, user_id: UUID, plan_name: str, model: Model, *, prompt_tokens: int, max_tokens: int
    ) -> BudgetGrant:
        """Return what a turn may use; raises QuotaExceeded when not even the prompt and one token are left."""
        limits = period_limits(self._plans.find(plan_name), times.now(), priced=model.price is not None)
        if not limits:
            return BudgetGrant(Reservation(), max_tokens)
        spent = await self._ledger.spent(user_id, list(limits))
        tokens = max_tokens
        for period, limit in limits.items():
            tokens = min(tokens, affordable(limit, spent.get(period, (0, Decimal(0))), model.price, prompt_tokens))
        if tokens < 1:
            raise QuotaExceeded
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


def period_limits(plan: ChatPlan, moment: datetime, *, priced: bool) -> dict[str, PeriodLimit]:
    """Return the limits of the UTC day and month that have any."""
    day = PeriodLimit(plan.tokens_per_day, plan.usd_per_day if priced else None)
    month = PeriodLimit(plan.tokens_per_month, plan.usd_per_month if priced else None)
    limits = {f"{moment:%Y-%m-%d}": day, f"{moment:%Y-%m}": month}
    return {period: left for period, left in limits.items() if left != PeriodLimit(None, None)}


def affordable(limit: PeriodLimit, spent: tuple[int, Decimal], price: Price | None, prompt_tokens: int) -> int:
    """Return how many tokens of answer what is left of a period pays for, below 1 when there is nothing left."""
    tokens, cost = spent
    most = 2**31 - 1 if limit.tokens is None else limit.tokens - tokens - prompt_tokens
    if limit.cost is None or price is None:
        return most
    left = limit.cost - cost - cost_of(price, prompt_tokens, 0)
    if left <= 0 and price.output_per_million + price.input_per_million > 0:
        return 0
    if not price.output_per_million:
        return most
    # One less than what fits: the sum is rounded to nine places once more.
    return min(most, int(left * 1_000_000 / price.output_per_million))


def cost_of(price: Price | None, prompt_tokens: int, completion_tokens: int) -> Decimal:
    """Return what that many tokens cost at most."""
    if price is None:
        return Decimal(0)
    return price.of(
        Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            total_tokens=prompt_tokens + completion_tokens,
        )
    )
