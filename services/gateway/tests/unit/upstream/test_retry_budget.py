"""Retry budget."""

from gateway.upstream.retry_budget import MIN_RETRIES, RetryBudget


def test_retries_are_limited_to_a_fifth_of_the_requests_and_at_least_three() -> None:
    budget = RetryBudget(clock=lambda: 0.0)
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    for _ in range(100):
        budget.count_request()
    assert sum(budget.take() for _ in range(100)) == 17


def test_old_requests_allow_no_retries_now() -> None:
    now = 0.0
    budget = RetryBudget(clock=lambda: now)
    for _ in range(10_000):
        budget.count_request()
    now = 3600.0
    assert sum(budget.take() for _ in range(100)) == MIN_RETRIES


def test_an_outage_gets_the_retries_of_recent_requests_only() -> None:
    now = 0.0
    budget = RetryBudget(clock=lambda: now)
    for second in range(60):
        now = float(second)
        for _ in range(100):
            budget.count_request()
    assert 200 <= sum(budget.take() for _ in range(10_000)) <= 400
