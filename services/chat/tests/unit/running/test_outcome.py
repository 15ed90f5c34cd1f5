"""Status of a turn by the cause of its end."""

import pytest

from chat.errors import ProviderFailure, ProviderTimeout, ProviderUnavailable, failure
from chat.running.outcome import StopReason, decide


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter"])
def test_a_turn_that_the_provider_ended_is_completed(reason: str) -> None:
    end = decide(None, None, finish_reason=reason, has_output=True)
    assert (end.status, end.finish_reason, end.error) == ("completed", reason, None)


@pytest.mark.parametrize("stopped", ["deadline", "interrupted"])
def test_a_whole_answer_is_completed_although_its_trailer_is_missing(stopped: StopReason) -> None:
    assert decide(stopped, None, finish_reason="stop", has_output=True).status == "completed"


def test_an_empty_answer_is_completed() -> None:
    assert decide(None, None, finish_reason="stop", has_output=False).status == "completed"


def test_a_length_that_the_budget_capped_is_incomplete() -> None:
    end = decide(None, None, finish_reason="length", has_output=True, capped=True)
    assert (end.status, end.finish_reason) == ("incomplete", "budget")


@pytest.mark.parametrize("has_output", [True, False])
def test_a_turn_that_its_owner_ended_is_cancelled(has_output: bool) -> None:
    assert decide("cancelled", None, finish_reason=None, has_output=has_output).status == "cancelled"


@pytest.mark.parametrize("stopped", ["deadline", "interrupted"])
def test_any_other_end_is_incomplete_with_output_and_failed_without(stopped: StopReason) -> None:
    kept = decide(stopped, None, finish_reason=None, has_output=True)
    assert (kept.status, kept.finish_reason, kept.error) == ("incomplete", stopped, None)
    lost = decide(stopped, None, finish_reason=None, has_output=False)
    assert (lost.status, lost.finish_reason) == ("failed", "error")
    assert lost.error is not None


@pytest.mark.parametrize("cause", [ProviderFailure(), ProviderTimeout(), ProviderUnavailable(retry_after=7)])
def test_a_failed_turn_has_the_code_of_its_failure(cause: ProviderFailure) -> None:
    end = decide(None, cause, finish_reason=None, has_output=False)
    assert end.status == "failed"
    assert end.error is not None
    assert (end.error.code, end.error.retry_after) == (cause.code, cause.retry_after)
    assert failure(cause.code).status == cause.status
    assert decide(None, cause, finish_reason=None, has_output=True).status == "incomplete"
