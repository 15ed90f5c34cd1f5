"""Judgement of the blackout matrix and of the soak: what counts as a problem, and which results are kept."""

from pathlib import Path

import pytest

from blackout.alerts import Recording, alerts_in, fired, metric_names, rule_groups
from blackout.cells import KINDS, matrix
from blackout.expected_alerts import BURN, LIMITS, OUTBOX, wrong_alerts
from blackout.results import CellResult, KindResult, forbidden, load, save, summarize, table
from blackout.samples import Sample, slope
from blackout.traffic import NO_ANSWER, Answer
from parley_testing.deployment.promtool import Promtool

POSTGRES, REDIS = (next(cell for cell in matrix() if cell.name == f"{name}: stopped") for name in ("postgres", "redis"))


def result_of(cell: str, recovered: float = 1.0) -> CellResult:
    return CellResult(
        cell, 15, {"completed": 8}, kinds=dict.fromkeys(KINDS, KindResult({"200": 3}, 0.2)), recovered=recovered
    )


def test_results_of_another_run_are_kept_and_those_of_the_same_cell_replaced(tmp_path: Path) -> None:
    path = tmp_path / "blackout.json"
    save(path, [result_of(REDIS.name), result_of(POSTGRES.name)])
    save(path, [result_of(REDIS.name, recovered=2)])
    assert {name: result.recovered for name, result in load(path).items()} == {POSTGRES.name: 1, REDIS.name: 2}
    assert [line.split(" | ")[0] for line in table(load(path)).splitlines()[2:]] == [
        f"| {POSTGRES.name}",
        f"| {REDIS.name}",
    ]


def test_a_status_that_a_cell_does_not_allow_is_a_problem() -> None:
    answers = [
        Answer("read", 1, 0.1, 503, "unavailable"),
        Answer("turn", 1, 0.1, 500),
        Answer("login", 1, 45, NO_ANSWER),
    ]
    assert forbidden(POSTGRES, answers) == ["login: 1 x 0", "turn: 1 x 500"]
    assert len(forbidden(REDIS, answers)) == 3


def test_the_slowest_answer_of_a_settled_outage_is_counted_from_ten_seconds_after_its_beginning() -> None:
    answers = [Answer("read", 101, 3.0, 503), Answer("read", 111, 0.2, 503), Answer("turn", 111, 9.0, 200)]
    assert str(summarize("read", answers, began=100)) == "503 in 3.0 s (later 0.2 s)"


def test_growth_is_measured_in_the_second_half_of_a_soak() -> None:
    def sample(minute: float, memory: float) -> Sample:
        return Sample(minute * 60, 1, memory, 10, 10)

    filling = [sample(minute, 60 + 10 * minute) for minute in range(5)]
    assert slope([*filling, *(sample(minute, 110 + 0.5 * minute) for minute in range(5, 10))]) == pytest.approx(0.5)
    assert slope(filling[:1]) == 0


def test_an_alert_that_a_cell_requires_is_missed_and_one_of_another_cell_is_false() -> None:
    assert wrong_alerts(REDIS, [LIMITS]) == []
    assert wrong_alerts(REDIS, [OUTBOX]) == [f"the alert {LIMITS} did not fire", f"false alert {OUTBOX}"]
    assert wrong_alerts(POSTGRES, [BURN, OUTBOX]) == [], "it may fire"


def test_a_recorded_second_is_a_minute_of_the_replay_in_which_counters_and_ages_grow() -> None:
    recording = Recording([], frozenset({"turns_total", "outbox_lag_seconds", "chat_ratelimit_local"}))
    recording.add("chat-1", 0, "turns_total 1\noutbox_lag_seconds 2\nchat_ratelimit_local 1\nother 7\n")
    recording.add("chat-1", 1, "")
    recording.length = 2
    found = {line["series"].partition("{")[0]: line["values"] for line in recording.replay(seconds=12)}
    assert found == {"up": "1 0", "turns_total": "60 _", "outbox_lag_seconds": "120 _", "chat_ratelimit_local": "1 _"}


def test_a_long_outage_is_replayed_in_as_many_minutes_as_a_short_one() -> None:
    recording = Recording([], frozenset({"turns_total"}))
    for second in range(60):
        recording.add("worker", second, f"turns_total {second}")
    recording.length = 60
    (values,) = (line["values"] for line in recording.replay(seconds=60) if line["series"].startswith("turns"))
    assert values == " ".join(f"{second * 12}" for second in range(0, 60, 5))


@pytest.mark.parametrize("seconds", [12, 60])
def test_no_alert_fires_after_the_end_of_a_recording(seconds: int, promtool: Promtool) -> None:
    recording = Recording([], frozenset(), length=seconds)
    for second in range(seconds):
        for process in ("gateway-0", "auth", "chat-0", "history-0", "worker", "webhooks"):
            recording.add(process, second, "answered 1")
    assert fired(recording, seconds, promtool) == []


def test_the_metrics_of_all_rules_are_recorded() -> None:
    assert {"gateway_ratelimit_local", "consumer_up", "outbox_lag_seconds"} <= metric_names(rule_groups())


def test_the_alerts_in_the_output_of_promtool_are_read() -> None:
    output = """exp: nil
        got: {alertname="ParleyLimitsLocal"} 1E+00, {alertname="ParleyServiceMissing"} 1E+00"""
    assert alerts_in(output) == ["ParleyLimitsLocal", "ParleyServiceMissing"]
    with pytest.raises(AssertionError, match="parse error"):
        alerts_in("parse error in rules.yaml")
