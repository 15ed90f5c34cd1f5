"""Body of the budget route."""

from parley.times import Timestamp
from parley.web.schemas import Money, ResponseBody


class BudgetPeriod(ResponseBody):
    """A budget in US dollars; ``reserved`` is held for running turns."""

    limit: Money | None
    used: Money
    reserved: Money
    remaining: Money | None
    resets_at: Timestamp


class TokensPerMinute(ResponseBody):
    """The limit on tokens per minute."""

    limit: int
    remaining: int


class BudgetResource(ResponseBody):
    """The budgets of the caller's plan in US dollars; null: no such limit."""

    plan: str
    day: BudgetPeriod | None
    month: BudgetPeriod | None
    tokens_per_minute: TokensPerMinute | None
