"""Failure policy: outages use up no attempt, and rejected or exhausted events are permanent failures."""

import pytest

from parley_events.consuming.failure_policy import FailurePolicy, HandlerTimeout
from parley_events.subscription import Rejected


class DatabaseDown(Exception):
    pass


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError()])
def test_a_lost_connection_is_an_outage_by_default(error: Exception) -> None:
    assert not FailurePolicy().uses_attempt(error)


@pytest.mark.parametrize("error", [ValueError(), FileNotFoundError(), HandlerTimeout(), DatabaseDown()])
def test_any_other_error_uses_up_an_attempt(error: Exception) -> None:
    assert FailurePolicy().uses_attempt(error)


def test_the_outages_are_those_of_the_subscribers_dependencies() -> None:
    policy = FailurePolicy(outages=(DatabaseDown,))
    assert not policy.uses_attempt(DatabaseDown())
    assert policy.uses_attempt(ConnectionRefusedError())


@pytest.mark.parametrize(
    ("error", "attempts", "permanent"),
    [(ValueError(), 2, False), (ValueError(), 3, True), (Rejected(), 0, True), (ConnectionError(), 0, False)],
)
def test_an_event_is_dead_lettered_when_rejected_or_out_of_attempts(
    error: Exception, attempts: int, permanent: bool
) -> None:
    assert FailurePolicy().is_permanent(error, attempts, max_attempts=3) is permanent
