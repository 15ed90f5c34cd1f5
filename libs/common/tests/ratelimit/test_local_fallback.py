"""The share of one replica, without Redis."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.ratelimit.local_fallback import LocalFallback
from parley.ratelimit.model import Limit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 50), st.integers(1, 30), st.integers(1, 10))
def test_admitted_never_exceeds_the_burst_plus_the_rate(
    pauses: list[float], count: int, period: int, burst: int
) -> None:
    clock, some = Clock(), Limit("user", "ada", count, period, burst)
    shares, admitted = LocalFallback(clock=clock), 0
    for pause in pauses:
        clock.now += pause
        admitted += shares.check([some], 1).allowed
    assert admitted <= burst + (clock.now - 100) * count / period + 1e-6


def test_two_replicas_halve_the_burst_and_the_rate() -> None:
    clock, some = Clock(), Limit("user", "ada", count=10, period=1, burst=10)
    shares = LocalFallback(clock=clock)
    shares.replicas = 2
    assert sum(shares.check([some], 1).allowed for _ in range(20)) == 5
    clock.now += 1
    assert sum(shares.check([some], 1).allowed for _ in range(20)) == 5


def test_a_strict_limit_admits_no_burst() -> None:
    clock, strict = Clock(), Limit("login", "ada", count=60, period=60, burst=10, strict=True)
    shares = LocalFallback(clock=clock)
    assert [shares.check([strict], 1).allowed for _ in range(3)] == [True, False, False]
    clock.now += 1
    assert shares.check([strict], 1).allowed


def test_no_share_is_consumed_when_another_limit_refuses() -> None:
    wide, narrow = Limit("user", "ada", 1, 3600, 5), Limit("address", "::1", 1, 3600, 1)
    shares = LocalFallback(clock=Clock())
    assert shares.check([wide, narrow], 1).allowed
    refused = shares.check([wide, narrow], 1)
    assert (refused.refused, refused.states[0].remaining) == (narrow, 4)


def test_the_buckets_are_bounded() -> None:
    shares = LocalFallback(clock=Clock(), size=10)
    for number in range(100):
        shares.check([Limit("user", str(number), 1, 3600, 5)], 1)
    assert len(shares._buckets) == 10


@pytest.mark.parametrize(("count", "period", "burst"), [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 86_400, 10**6)])
def test_limits_that_cannot_be_counted_exactly_are_refused(count: int, period: int, burst: int) -> None:
    with pytest.raises(ValueError, match="cannot count"):
        Limit("user", "ada", count, period, burst)
