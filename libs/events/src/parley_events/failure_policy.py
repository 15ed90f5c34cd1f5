"""Failure policy: classifies handler errors as permanent, transient, or outages."""

from dataclasses import dataclass

from parley_events.subscription import Rejected

HANDLER_TIMEOUT = 60.0
"""Seconds after which a handler is cancelled and its attempt has failed."""

ErrorTypes = tuple[type[BaseException], ...]


class HandlerTimeout(Exception):
    """A handler ran longer than ``HANDLER_TIMEOUT``."""

    def __init__(self) -> None:
        super().__init__(f"The handler ran longer than {HANDLER_TIMEOUT:g} s.")


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """Decides whether a failed event is retried.

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
