"""Outcome of a turn: status and finish reason, and answers from the response cache."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from chat.errors import ProviderFailure, ProviderTimeout, TurnInterrupted
from chat.model import EMPTY_USAGE, FinalStatus, LogEntry, Outcome, Turn, TurnError
from parley import times

StopReason = Literal["cancelled", "interrupted", "deadline", "fenced"]

MAX_CACHED_ENTRY_LENGTH = 16_384
"""Maximum characters of an entry of a cached answer, because WebSocket clients may refuse longer frames."""


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """Status, finish reason and error of an ended turn."""

    status: FinalStatus
    finish_reason: str
    error: TurnError | None = None


def decide(
    stopped: StopReason | None,
    failure: ProviderFailure | None,
    *,
    finish_reason: str | None,
    has_output: bool,
    capped: bool = False,
) -> TurnEnd:
    """Return the status of a turn from the cause of its end.

    - The provider finished the answer: ``completed``, or ``incomplete`` if the budget capped its length.
    - The owner cancelled the turn: ``cancelled``.
    - Any other cause: ``incomplete`` with output, ``failed`` without.
    """
    if finish_reason is not None and failure is None and stopped in {None, "deadline", "interrupted"}:
        if finish_reason == "length" and capped:
            return TurnEnd("incomplete", "budget")
        return TurnEnd("completed", finish_reason)
    if stopped == "cancelled":
        return TurnEnd("cancelled", "cancelled")
    if stopped in {"deadline", "interrupted"} and has_output:
        return TurnEnd("incomplete", str(stopped))
    error = as_error(failure or _failure_of(stopped))
    return TurnEnd("incomplete" if has_output else "failed", "error", error)


def as_error(failure: ProviderFailure) -> TurnError:
    """Return a failure in the form that is stored with the turn."""
    return TurnError(failure.code, failure.detail, failure.retry_after)


def cached_outcome(turn: Turn) -> Outcome:
    """Return the outcome of a turn that repeats an earlier turn's answer, without usage and cost."""
    assert turn.finish_reason is not None
    return Outcome(
        status="completed",
        finish_reason=turn.finish_reason,
        entries=tuple(_merged(turn.entries)),
        content=turn.content or "",
        tool_calls=turn.tool_calls,
        usage=EMPTY_USAGE,
        cost=Decimal(0),
        price_version=None,
        provider=turn.provider,
        provider_model=turn.provider_model,
        error=None,
        finished_at=times.now(),
        cached=True,
    )


def _merged(entries: Sequence[LogEntry]) -> Iterator[LogEntry]:
    """Yield the entries with consecutive texts merged: a cached answer is sent at once."""
    for is_text, group in itertools.groupby(entries, key=lambda entry: bool(entry.text)):
        if not is_text:
            yield from group
            continue
        text = "".join(entry.text for entry in group)
        for start in range(0, len(text), MAX_CACHED_ENTRY_LENGTH):
            yield LogEntry(text[start : start + MAX_CACHED_ENTRY_LENGTH])


def _failure_of(stopped: StopReason | None) -> ProviderFailure:
    if stopped == "deadline":
        return ProviderTimeout()
    return TurnInterrupted() if stopped == "interrupted" else ProviderFailure()
