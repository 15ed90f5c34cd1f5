"""Ranges and days of usage reports."""

from datetime import date

import pytest

from history.usage.schemas import UsageGroup
from history.usage.service import UsageService
from history.usage.store import AdminGrouping
from history_testing.fakes import FakeUsageStore, FakeUsernames
from parley.errors import ValidationFailed
from parley.ids import new_id

TODAY = date(2026, 11, 22)


def _group(key: str) -> UsageGroup:
    return UsageGroup(
        key=key, turns=1, prompt_tokens=2, completion_tokens=3, total_tokens=5, estimated_turns=0, cost=None
    )


async def test_a_report_by_day_lists_the_days_without_usage_too() -> None:
    store = FakeUsageStore(TODAY, [_group("2026-11-21")])
    report = await UsageService(store, FakeUsernames()).report(
        new_id(), date(2026, 11, 20), date(2026, 11, 23), "day", "UTC"
    )
    assert [(row.key, row.total_tokens) for row in report.data] == [
        ("2026-11-20", 0),
        ("2026-11-21", 5),
        ("2026-11-22", 0),
    ]
    assert report.total.total_tokens == 5


async def test_a_report_by_model_lists_the_groups_that_are_found() -> None:
    store = FakeUsageStore(TODAY, [_group("large"), _group("small")])
    report = await UsageService(store, FakeUsernames()).report(new_id(), None, None, "model", "UTC")
    assert [row.key for row in report.data] == ["large", "small"]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, (date(2026, 10, 24), date(2026, 11, 23))),
        (date(2026, 11, 1), None, (date(2026, 11, 1), date(2026, 12, 1))),
        (None, date(2026, 11, 1), (date(2026, 10, 2), date(2026, 11, 1))),
    ],
)
async def test_a_range_with_one_date_missing_is_thirty_days_long(
    since: date | None, until: date | None, expected: tuple[date, date]
) -> None:
    store = FakeUsageStore(TODAY)
    await UsageService(store, FakeUsernames()).report(new_id(), since, until, "day", "Asia/Shanghai")
    assert [(query.since, query.until) for query in store.queries] == [expected]


@pytest.mark.parametrize(
    ("since", "until", "tz", "pointer"),
    [
        (TODAY, TODAY, "UTC", "/to"),
        (date(2025, 1, 1), TODAY, "UTC", "/to"),
        (date.max, None, "UTC", "/to"),
        (None, date.min, "UTC", "/to"),
        (None, None, "Mars/Olympus", "/tz"),
    ],
)
async def test_an_invalid_range_or_time_zone_is_refused(
    since: date | None, until: date | None, tz: str, pointer: str
) -> None:
    store = FakeUsageStore(TODAY)
    with pytest.raises(ValidationFailed) as caught:
        await UsageService(store, FakeUsernames()).report(new_id(), since, until, "day", tz)
    assert ([error.pointer for error in caught.value.errors], store.queries) == ([pointer], [])


async def test_an_administrator_reads_the_names_of_the_users_in_one_request() -> None:
    ada, gone = new_id(), new_id()
    store, names = FakeUsageStore(TODAY, [_group(str(ada)), _group(str(gone))]), FakeUsernames({ada: "ada"})
    report = await UsageService(store, names).admin_report(
        None, None, None, "user", "UTC", model=None, token="administrator"
    )
    assert [(row.key, row.username) for row in report.data] == [(str(ada), "ada"), (str(gone), None)]
    assert names.asked == [([ada, gone], "administrator")]


@pytest.mark.parametrize("group", ["model", "day", "provider"])
async def test_groups_that_are_no_users_have_no_names_and_ask_for_none(group: AdminGrouping) -> None:
    store, names = FakeUsageStore(TODAY, [_group("2026-11-21")]), FakeUsernames()
    report = await UsageService(store, names).admin_report(None, None, None, group, "UTC", model=None, token="t")
    assert {row.username for row in report.data} == {None}
    assert names.asked == []
