"""Limits and decisions."""

import pytest

from parley.ratelimit.model import Decision, Limit, LimitState

WIDE, NARROW = Limit("user", "ada", 60, 60, 50), Limit("address", "::1", 10, 60, 5)
MUCH, LITTLE = LimitState(40, 1.0), LimitState(2, 18.0)


def decision(limits: list[Limit], states: list[LimitState], refused: Limit | None = None) -> Decision:
    return Decision(
        allowed=refused is None,
        revoked=False,
        refused=refused,
        retry_after=0,
        limits=limits,
        states=states,
        revocations_known=True,
        at=1,
    )


def test_no_limit_is_reported_without_limits() -> None:
    assert decision([], []).shown() is None


def test_the_limit_with_the_fewest_remaining_units_is_reported() -> None:
    assert decision([WIDE], [MUCH]).shown() == (WIDE, MUCH)
    assert decision([WIDE, NARROW], [MUCH, LITTLE]).shown() == (NARROW, LITTLE)


def test_the_limit_that_refused_is_reported() -> None:
    assert decision([WIDE, NARROW], [MUCH, LITTLE], refused=WIDE).shown() == (WIDE, MUCH)


@pytest.mark.parametrize(("count", "period", "burst"), [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 86_400, 10**6)])
def test_a_limit_that_cannot_be_counted_exactly_is_rejected(count: int, period: int, burst: int) -> None:
    with pytest.raises(ValueError, match="cannot count"):
        Limit("user", "ada", count, period, burst)
