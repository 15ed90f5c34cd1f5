"""The budget of retries."""

from gateway.upstream.retry_budget import RETRY_FLOOR, RetryBudget


def test_retries_are_a_fifth_of_the_requests_and_three_at_least() -> None:
    budget = RetryBudget(clock=lambda: 0.0)
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    for _ in range(100):
        budget.request()
    assert sum(budget.take() for _ in range(100)) == 17


def test_what_was_asked_long_ago_pays_for_no_retry_now() -> None:
    now = 0.0
    budget = RetryBudget(clock=lambda: now)
    for _ in range(10_000):
        budget.request()
    now = 3600.0
    assert sum(budget.take() for _ in range(100)) == RETRY_FLOOR


def test_an_outage_uses_up_what_recent_requests_earned_and_no_more() -> None:
    now = 0.0
    budget = RetryBudget(clock=lambda: now)
    for second in range(60):
        now = float(second)
        for _ in range(100):
            budget.request()
    assert 200 <= sum(budget.take() for _ in range(10_000)) <= 400
