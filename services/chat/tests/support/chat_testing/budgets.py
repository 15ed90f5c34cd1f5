"""In-memory budgets of users: what is spent and what is reserved."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from decimal import Decimal
from uuid import UUID

from chat.admission.budgets import BudgetUse
from chat.model import Outcome, Reservation
from chat.turn_store import BudgetExceeded


@dataclass
class _Budget:
    tokens: int = 0
    cost: Decimal = Decimal(0)
    reserved_tokens: int = 0
    reserved_cost: Decimal = Decimal(0)


@dataclass
class InMemoryBudgets:
    """The budgets of each user and period."""

    _budgets: dict[tuple[UUID, str], _Budget] = field(default_factory=dict)

    def reserve(self, user_id: UUID, reservation: Reservation) -> None:
        """Reserve in each period; BudgetExceeded if one has too little left."""
        limits = zip(reservation.periods, reservation.token_limits, reservation.cost_limits, strict=True)
        for period, token_limit, cost_limit in limits:
            budget = self._budgets.get((user_id, period), _Budget())
            tokens = budget.tokens + budget.reserved_tokens + reservation.tokens
            cost = budget.cost + budget.reserved_cost + reservation.cost
            if (token_limit is not None and tokens > token_limit) or (cost_limit is not None and cost > cost_limit):
                raise BudgetExceeded
        for period in reservation.periods:
            budget = self._budgets.setdefault((user_id, period), _Budget())
            budget.reserved_tokens += reservation.tokens
            budget.reserved_cost += reservation.cost

    def move(self, user_id: UUID, held: Reservation, wanted: Reservation) -> None:
        """Reserve ``wanted`` instead of ``held``; BudgetExceeded keeps ``held``."""
        self._release(user_id, held)
        try:
            self.reserve(user_id, wanted)
        except BudgetExceeded:
            self.reserve(user_id, _unlimited(held))
            raise

    def settle(self, user_id: UUID, held: Reservation, outcome: Outcome) -> None:
        """Spend what a turn cost, and release what was reserved for it."""
        self._release(user_id, held)
        for period in held.periods:
            budget = self._budgets[user_id, period]
            budget.tokens += outcome.usage.total_tokens
            budget.cost += outcome.cost or 0

    def use(self, user_id: UUID, periods: Sequence[str]) -> dict[str, BudgetUse]:
        """Return what is used and reserved, by period."""
        found = {period: self._budgets.get((user_id, period)) for period in periods}
        return {period: BudgetUse(*astuple(budget)) for period, budget in found.items() if budget is not None}

    def _release(self, user_id: UUID, reservation: Reservation) -> None:
        for period in reservation.periods:
            budget = self._budgets[user_id, period]
            budget.reserved_tokens -= reservation.tokens
            budget.reserved_cost -= reservation.cost


def _unlimited(reservation: Reservation) -> Reservation:
    none = (None,) * len(reservation.periods)
    return replace(reservation, token_limits=none, cost_limits=none)
