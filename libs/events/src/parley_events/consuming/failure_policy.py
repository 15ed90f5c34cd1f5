"""Failure policies: whether a failed event is tried again, or is a dead letter."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from parley_events.subscription import Rejected

HANDLER_TIMEOUT = 60.0
"""Seconds after which a handler is cancelled and its attempt has failed."""

ErrorTypes = tuple[type[BaseException], ...]
OnPoison: TypeAlias = Literal["park", "skip"]
DeadReason: TypeAlias = Literal["rejected", "deadline", "malformed"]


class HandlerTimeout(Exception):
    """A handler ran longer than ``HANDLER_TIMEOUT``."""

    def __init__(self) -> None:
        super().__init__(f"The handler ran longer than {HANDLER_TIMEOUT:g} s.")


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """Decides whether a service tries a failed event again.

    ``outages`` are the errors that a handler raises while one of its own dependencies is unavailable. They say nothing
    about the event, so they use up no attempt.
    """

    outages: ErrorTypes = (ConnectionError, TimeoutError)

    def uses_attempt(self, error: Exception) -> bool:
        """Return whether the failure counts towards the event's maximum number of attempts."""
        return not isinstance(error, self.outages)

    @staticmethod
    def is_permanent(error: Exception, attempts: int, max_attempts: int) -> bool:
        """Return whether the event is dead-lettered after this error and ``attempts`` counted attempts."""
        return isinstance(error, Rejected) or attempts >= max_attempts


@dataclass(frozen=True, slots=True)
class DeadlinePolicy:
    """Decides whether an external subscriber tries a failed event again: until a deadline, after any error.

    ``permanent`` are the errors after which an event is a dead letter at once. ``retry_for`` is the time after an
    event's first failure until it becomes one; None stands for ever. ``on_poison`` says what the later events of the
    key do then: ``skip`` goes on with them, ``park`` lets them wait until the dead letter is redriven or dropped.
    """

    retry_for: timedelta | None = timedelta(days=1)
    permanent: ErrorTypes = ()
    on_poison: OnPoison = "skip"
    first_delay: float = 0.1
    max_delay: float = 60.0

    def verdict(self, error: Exception, age: float) -> DeadReason | None:
        """Return why the event is a dead letter ``age`` seconds after its first failure, or None: try it again."""
        if isinstance(error, (Rejected, *self.permanent)):
            return "rejected"
        if self.retry_for is not None and age >= self.retry_for.total_seconds():
            return "deadline"
        return None

    def delay(self, age: float) -> float:
        """Return the seconds until the next attempt: they grow with the time since the first failure."""
        wait = min(self.max_delay, max(self.first_delay, age / 2))
        if self.retry_for is None:
            return wait
        return min(wait, max(self.first_delay, self.retry_for.total_seconds() - age))
