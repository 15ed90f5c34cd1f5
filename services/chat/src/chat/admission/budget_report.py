"""What is left of a user's budgets and of the tokens per minute."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from chat.admission.budgets import Budgets, BudgetUse, PeriodLimit, period_limits, periods_of
from chat.admission.token_limits import TokenLimits, TokenQuota
from parley import times


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

    day: PeriodReport | None
    month: PeriodReport | None
    tokens_per_minute: TokenQuota | None


class BudgetReports:
    """Reports budgets without changing them."""

    def __init__(self, budgets: Budgets, token_limits: TokenLimits) -> None:
        self._budgets, self._token_limits = budgets, token_limits

    async def report(self, user_id: UUID, plan_name: str) -> BudgetReport:
        """Return what is used, reserved and left now."""
        plan, now = self._budgets.plan(plan_name), times.now()
        limits = period_limits(plan, now, priced=True)
        use = await self._budgets.use(user_id, limits)
        found = {period: _period(period, limit, use[period]) for period, limit in limits.items()}
        day, month = periods_of(now)
        return BudgetReport(found.get(day), found.get(month), await self._token_limits.remaining(user_id, plan))


def _period(period: str, limit: PeriodLimit, use: BudgetUse) -> PeriodReport:
    return PeriodReport(limit.cost, use.cost, use.reserved_cost, end_of(period))


def end_of(period: str) -> datetime:
    """Return the end of a UTC day (``2026-11-22``) or month (``2026-11``)."""
    if period.count("-") > 1:
        return datetime.fromisoformat(f"{period}T00:00:00+00:00") + timedelta(days=1)
    start = datetime.fromisoformat(f"{period}-01T00:00:00+00:00")
    return (start + timedelta(days=31)).replace(day=1)
