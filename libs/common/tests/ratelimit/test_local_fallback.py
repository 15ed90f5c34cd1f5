"""The local fallback of the limiter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.ratelimit.local_fallback import LocalFallback
from parley.ratelimit.model import Limit
from parley_testing.fakes.manual_clock import ManualClock


@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 50), st.integers(1, 30), st.integers(1, 10))
def test_no_more_than_the_burst_plus_the_rate_is_allowed(
    pauses: list[float], count: int, period: int, burst: int
) -> None:
    clock, some = ManualClock(), Limit("user", "ada", count, period, burst)
    fallback, admitted = LocalFallback(clock=clock), 0
    for pause in pauses:
        clock.now += pause
        admitted += fallback.check([some], 1).allowed
    assert admitted <= burst + (clock.now - 100) * count / period + 1e-6


def test_two_replicas_halve_the_burst_and_the_rate() -> None:
    clock, some = ManualClock(), Limit("user", "ada", count=10, period=1, burst=10)
    fallback = LocalFallback(clock=clock)
    fallback.replicas = 2
    assert sum(fallback.check([some], 1).allowed for _ in range(20)) == 5
    clock.now += 1
    assert sum(fallback.check([some], 1).allowed for _ in range(20)) == 5


@pytest.mark.parametrize(("burst", "replicas", "allowed"), [(10, 1, 1), (5, 1, 1), (120, 1, 12), (120, 4, 3)])
def test_a_strict_limit_allows_a_tenth_of_its_burst(burst: int, replicas: int, allowed: int) -> None:
    clock, strict = ManualClock(), Limit("login", "ada", count=60, period=60, burst=burst, strict=True)
    fallback = LocalFallback(clock=clock)
    fallback.replicas = replicas
    assert sum(fallback.check([strict], 1).allowed for _ in range(20)) == allowed
    clock.now += replicas
    assert [fallback.check([strict], 1).allowed for _ in range(2)] == [True, False]


def test_nothing_is_consumed_when_one_of_several_limits_refuses() -> None:
    wide, narrow = Limit("user", "ada", 1, 3600, 5), Limit("address", "::1", 1, 3600, 1)
    fallback = LocalFallback(clock=ManualClock())
    assert fallback.check([wide, narrow], 1).allowed
    refused = fallback.check([wide, narrow], 1)
    assert (refused.refused, refused.states[0].remaining) == (narrow, 4)


def test_the_number_of_buckets_is_bounded() -> None:
    fallback = LocalFallback(clock=ManualClock(), size=10)
    for number in range(100):
        fallback.check([Limit("user", str(number), 1, 3600, 5)], 1)
    assert len(fallback._buckets) == 10
