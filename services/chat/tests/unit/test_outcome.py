"""How a turn ends: who ended it, and whether there was output."""

import pytest

from chat.errors import ProviderFailure, ProviderTimeout, ProviderUnavailable, failure
from chat.model import LogEntry
from chat.running.log_store import LogItem
from chat.running.outcome import StopReason, decide
from chat.running.recovery import contiguous


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter"])
def test_what_the_provider_ended_is_completed(reason: str) -> None:
    verdict = decide(None, None, finish_reason=reason, has_output=True)
    assert (verdict.status, verdict.finish_reason, verdict.error) == ("completed", reason, None)


def test_an_empty_answer_of_the_provider_is_completed_too() -> None:
    assert decide(None, None, finish_reason="stop", has_output=False).status == "completed"


def test_a_length_that_the_budget_set_is_incomplete() -> None:
    verdict = decide(None, None, finish_reason="length", has_output=True, capped=True)
    assert (verdict.status, verdict.finish_reason) == ("incomplete", "budget")


@pytest.mark.parametrize("has_output", [True, False])
def test_what_its_owner_ended_is_cancelled(has_output: bool) -> None:
    assert decide("cancelled", None, finish_reason=None, has_output=has_output).status == "cancelled"


@pytest.mark.parametrize("stopped", ["deadline", "interrupted"])
def test_what_something_else_ended_is_incomplete_with_output_and_failed_without(stopped: StopReason) -> None:
    kept = decide(stopped, None, finish_reason=None, has_output=True)
    assert (kept.status, kept.finish_reason, kept.error) == ("incomplete", stopped, None)
    lost = decide(stopped, None, finish_reason=None, has_output=False)
    assert (lost.status, lost.finish_reason) == ("failed", "error")
    assert lost.error is not None


@pytest.mark.parametrize("cause", [ProviderFailure(), ProviderTimeout(), ProviderUnavailable(retry_after=7)])
def test_a_failure_names_its_code(cause: ProviderFailure) -> None:
    verdict = decide(None, cause, finish_reason=None, has_output=False)
    assert verdict.status == "failed"
    assert verdict.error is not None
    assert (verdict.error.code, verdict.error.retry_after) == (cause.code, cause.retry_after)
    assert failure(cause.code).status == cause.status
    assert decide(None, cause, finish_reason=None, has_output=True).status == "incomplete"


def test_a_sealed_log_counts_up_to_its_first_gap() -> None:
    items = [
        LogItem(1, 1, None),
        LogItem(1, 2, LogEntry("a")),
        LogItem(1, 3, LogEntry("b")),
        LogItem(1, 5, LogEntry("d")),
        LogItem(2, 0, None, end=True),
    ]
    assert contiguous(items, 2) == ((LogEntry("a"), LogEntry("b")), False)


def test_a_log_without_its_beginning_is_lost() -> None:
    assert contiguous([LogItem(2, 0, None, end=True)], 2) == ((), True)


def test_entries_of_the_own_epoch_are_not_read_back() -> None:
    assert contiguous([LogItem(1, 1, None), LogItem(2, 2, LogEntry("x"))], 2) == ((), False)
