"""Budget periods, and the answer length that a budget affords."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from chat.admission.budgets import PeriodLimit, affordable, cost_of, period_limits
from chat.admission.plans import ChatPlan
from chat.price import Price
from parley import times

PRICE = Price(Decimal(1), Decimal(10), None, "test")


@given(limit=st.decimals(0, 1, places=9), spent=st.decimals(0, 1, places=9), prompt=st.integers(0, 100_000))
def test_an_affordable_answer_never_costs_more_than_the_remaining_budget(
    limit: Decimal, spent: Decimal, prompt: int
) -> None:
    tokens = affordable(PeriodLimit(None, limit), (0, spent), PRICE, prompt)
    if tokens >= 1:
        assert spent + cost_of(PRICE, prompt, tokens) <= limit


def test_the_prompt_counts_against_the_remaining_tokens() -> None:
    assert affordable(PeriodLimit(100, None), (60, Decimal(0)), None, 30) == 10


def test_only_periods_with_limits_are_counted() -> None:
    plan = ChatPlan(usd_per_day=Decimal(5), usd_per_month=None)
    assert period_limits(plan, times.now(), priced=False) == {}
    assert list(period_limits(plan, times.now(), priced=True).values()) == [PeriodLimit(None, Decimal(5))]
