"""Usage report route."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from history_testing.app import ApiUser, RunningHistory
from history_testing.turn_events import SampleTurn

pytestmark = pytest.mark.integration

PATH, ADMIN_PATH = "/api/v1/usage", "/api/v1/admin/usage"
RANGE: dict[str, Any] = {"from": "2026-11-20", "to": "2026-11-24"}


@dataclass(frozen=True)
class UsageSample:
    """A user with five turns on two days, one of them running and one in a deleted conversation."""

    user: ApiUser
    first: SampleTurn
    deleted: SampleTurn


@pytest.fixture
async def usage(history: RunningHistory) -> UsageSample:
    late = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
    first = SampleTurn(start=late)
    again = first.next(model="large", cost=None, start=late)
    alone = SampleTurn(first.user_id, stored=False)
    deleted = SampleTurn(first.user_id, cost="1.5")
    await history.publish(*(one.ended() for one in (first, again, alone, deleted)), first.next(number=3).started())
    user = history.user(first.user_id)
    await user.request("DELETE", f"/api/v1/conversations/{deleted.conversation_id}")
    return UsageSample(user, first, deleted)


def _brief(report: dict[str, Any]) -> list[tuple[str, int, int, str | None]]:
    return [(row["key"], row["turns"], row["total_tokens"], row["cost"]) for row in report["data"]]


async def test_days_follow_the_requested_time_zone_and_empty_days_are_listed(usage: UsageSample) -> None:
    report = await usage.user.get(PATH, **RANGE)
    assert _brief(report) == [
        ("2026-11-20", 0, 0, "0.000000000"),
        ("2026-11-21", 2, 114, "0.000012340"),
        ("2026-11-22", 2, 114, "1.500012340"),
        ("2026-11-23", 0, 0, "0.000000000"),
    ]
    assert (report["from"], report["to"], report["tz"], report["group"]) == ("2026-11-20", "2026-11-24", "UTC", "day")
    assert report["total"] == {
        "turns": 4,
        "prompt_tokens": 164,
        "completion_tokens": 64,
        "total_tokens": 228,
        "estimated_turns": 0,
        "cost": "1.500024680",
    }
    shanghai = await usage.user.get(PATH, **RANGE, tz="Asia/Shanghai")
    assert [turns for _, turns, _, _ in _brief(shanghai)] == [0, 0, 4, 0]


async def test_models_without_a_price_have_no_cost(usage: UsageSample) -> None:
    report = await usage.user.get(PATH, **RANGE, group="model")
    assert _brief(report) == [("default", 3, 171, "1.500024680"), ("large", 1, 57, None)]


@pytest.mark.parametrize("failed_first", [True, False])
async def test_a_turn_that_cost_nothing_does_not_make_an_unknown_cost_known(
    history: RunningHistory, *, failed_first: bool
) -> None:
    turn = SampleTurn(cost=None)
    failed = turn.next(tokens=None, cost="0")
    await history.publish(
        *([failed.ended("failed"), turn.ended()] if failed_first else [turn.ended(), failed.ended("failed")])
    )
    user = history.user(turn.user_id)
    for group in ("day", "model", "conversation"):
        report = await user.get(PATH, **RANGE, group=group)
        assert {row["cost"] for row in report["data"] if row["turns"]} == {None}, group
        assert report["total"]["cost"] is None
    found = await user.get(f"/api/v1/conversations/{turn.conversation_id}")
    assert (found["tokens_used"], found["cost"], found["cost_estimate"]) == (57, None, None)


async def test_turns_that_cost_nothing_are_reported_without_cost(history: RunningHistory) -> None:
    failed, free = SampleTurn(tokens=None, cost="0"), SampleTurn(cost="0")
    await history.publish(failed.ended("failed"), free.ended())
    for turn in (failed, free):
        report = await history.user(turn.user_id).get(PATH, **RANGE)
        assert report["total"]["cost"] == "0.000000000"
    found = await history.user(free.user_id).get(f"/api/v1/conversations/{free.conversation_id}")
    assert found["cost"] == "0.000000000"


async def test_usage_by_conversation_includes_turns_without_one(usage: UsageSample) -> None:
    report = await usage.user.get(PATH, **RANGE, group="conversation")
    assert {key: turns for key, turns, _, _ in _brief(report)} == {
        str(usage.first.conversation_id): 2,
        str(usage.deleted.conversation_id): 1,
        None: 1,
    }


async def test_the_default_range_is_the_last_thirty_days(history: RunningHistory) -> None:
    report = await history.user().get(PATH)
    assert len(report["data"]) == 30
    assert report["data"][-1]["key"] == datetime.now(UTC).date().isoformat()
    assert report["total"]["cost"] == "0.000000000"


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"tz": "Mars/Olympus"}, "/tz"),
        ({"tz": "UTC+3"}, "/tz"),
        ({"tz": "'; --"}, "/tz"),
        ({"from": "2026-11-22", "to": "2026-11-22"}, "/to"),
        ({"from": "2025-01-01", "to": "2026-11-22"}, "/to"),
        ({"from": "9999-12-31"}, "/to"),
        ({"to": "0001-01-01"}, "/to"),
        ({"from": "soon"}, "/from"),
        ({"group": "person"}, "/group"),
    ],
)
async def test_an_invalid_range_time_zone_or_group_is_refused(
    history: RunningHistory, params: dict[str, str], pointer: str
) -> None:
    found = await history.user().get(PATH, 422, **params)
    assert [e["pointer"] for e in found["errors"]] == [pointer]


async def test_an_administrator_sees_the_usage_of_all_users(history: RunningHistory, usage: UsageSample) -> None:
    other = SampleTurn(model="large", cost="2")
    await history.publish(other.ended())
    admin = history.user(scope="admin")
    own, others = str(usage.first.user_id), str(other.user_id)
    found = {row["key"]: row for row in (await admin.get(ADMIN_PATH, **RANGE))["data"]}
    assert (found[own]["turns"], found[own]["cost"]) == (4, "1.500024680")
    assert (found[others]["turns"], found[others]["cost"]) == (1, "2.000000000")
    mine = await admin.get(ADMIN_PATH, **RANGE, user_id=own, group="model", model="large")
    assert _brief(mine) == [("large", 1, 57, None)]
    theirs = await admin.get(ADMIN_PATH, **RANGE, user_id=others, group="provider")
    assert _brief(theirs) == [("openai", 1, 57, "2.000000000")]
    assert len((await admin.get(ADMIN_PATH, **RANGE, group="day"))["data"]) == 4


async def test_the_usage_of_all_users_needs_the_scope_admin(usage: UsageSample) -> None:
    response = await usage.user.request("GET", ADMIN_PATH)
    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
