"""What is left of a user's budgets and of the tokens per minute."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from chat.admission.budgets import Budgets, BudgetUse, PeriodLimit, period_limits, periods_of
from chat.admission.token_limits import TokenLimits, TokenQuota
from parley import times
from parley.errors import NotFound


@dataclass(frozen=True, slots=True)
class PeriodReport:
    """The budget of one period in US dollars; ``limit`` is None when only tokens are limited."""

    limit: Decimal | None
    used: Decimal
    reserved: Decimal
    resets_at: datetime

    @property
    def remaining(self) -> Decimal | None:
        """What is left, at least 0."""
        return None if self.limit is None else max(Decimal(0), self.limit - self.used - self.reserved)


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """The budgets of a user's plan; an unlimited one is None."""

    plan: str
    day: PeriodReport | None
    month: PeriodReport | None
    tokens_per_minute: TokenQuota | None


class PlanLookup(Protocol):
    """Finds the plans of users, which chat knows from their tokens only."""

    async def plan_of(self, user_id: UUID, token: str) -> str | None:
        """Return the plan with an administrator's token, or None without an account; raises DependencyUnavailable."""
        ...


class BudgetReports:
    """Reports budgets without changing them."""

    def __init__(self, budgets: Budgets, token_limits: TokenLimits, plans: PlanLookup) -> None:
        self._budgets, self._token_limits, self._plans = budgets, token_limits, plans

    async def report_of_user(self, user_id: UUID | None, token: str) -> BudgetReport:
        """Return the report of another user for an administrator; raises NotFound or DependencyUnavailable."""
        plan = await self._plans.plan_of(user_id, token) if user_id else None
        if user_id is None or plan is None:
            raise NotFound
        return await self.report(user_id, plan)

    async def report(self, user_id: UUID, plan_name: str) -> BudgetReport:
        """Return what is used, reserved and left now."""
        plan, now = self._budgets.plan(plan_name), times.now()
        limits = period_limits(plan, now, priced=True)
        use = await self._budgets.use(user_id, limits)
        found = {period: _period(period, limit, use[period]) for period, limit in limits.items()}
        day, month = periods_of(now)
        tokens = await self._token_limits.remaining(user_id, plan)
        return BudgetReport(plan_name, found.get(day), found.get(month), tokens)


def _period(period: str, limit: PeriodLimit, use: BudgetUse) -> PeriodReport:
    return PeriodReport(limit.cost, use.cost, use.reserved_cost, end_of(period))


def end_of(period: str) -> datetime:
    """Return the end of a UTC day (``2026-11-22``) or month (``2026-11``)."""
    if period.count("-") > 1:
        return datetime.fromisoformat(f"{period}T00:00:00+00:00") + timedelta(days=1)
    start = datetime.fromisoformat(f"{period}-01T00:00:00+00:00")
    return (start + timedelta(days=31)).replace(day=1)
