"""Reports of budgets."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from chat.admission.budget_report import PeriodReport, end_of

NEXT_DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "end"),
    [
        ("2026-02-28", NEXT_DAY),
        ("2026-02", NEXT_DAY),
        ("2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_period_ends_with_its_utc_day_or_month(period: str, end: datetime) -> None:
    assert end_of(period) == end


@pytest.mark.parametrize(
    ("limit", "used", "reserved", "left"),
    [
        (Decimal(5), "1.2", "0.3", Decimal("3.5")),
        (Decimal(1), "0.9", "0.2", Decimal(0)),
        (None, "7", "0", None),
    ],
)
def test_what_is_left_is_never_negative(limit: Decimal | None, used: str, reserved: str, left: Decimal | None) -> None:
    report = PeriodReport(limit, Decimal(used), Decimal(reserved), NEXT_DAY)
    assert report.remaining == left
