"""How a turn ends: who ended it decides."""

from dataclasses import dataclass
from typing import Literal

from chat.errors import ProviderFailure, ProviderTimeout, TurnInterrupted
from chat.model import FinalStatus, TurnError

StopReason = Literal["cancelled", "interrupted", "deadline", "fenced"]


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """The status of an ended turn, why it ended, and what failed."""

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
    """Say how a turn ended: who ended it decides the status, and whether there is output.

    The provider: ``completed``; its owner: ``cancelled``; anything else: ``incomplete`` with output, else ``failed``.
    """
    if finish_reason is not None and failure is None and stopped in {None, "deadline"}:
        if finish_reason == "length" and capped:
            return TurnEnd("incomplete", "budget")
        return TurnEnd("completed", finish_reason)
    if stopped == "cancelled":
        return TurnEnd("cancelled", "cancelled")
    if stopped in {"deadline", "interrupted"} and has_output:
        return TurnEnd("incomplete", str(stopped))
    error = as_error(failure or _cause(stopped))
    return TurnEnd("incomplete" if has_output else "failed", "error", error)


def as_error(failure: ProviderFailure) -> TurnError:
    """Return the code and sentence of a failure as a turn keeps them."""
    return TurnError(failure.code, failure.detail, failure.retry_after)


def _cause(stopped: StopReason | None) -> ProviderFailure:
    if stopped == "deadline":
        return ProviderTimeout()
    return TurnInterrupted() if stopped == "interrupted" else ProviderFailure()
