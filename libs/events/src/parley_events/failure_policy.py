"""What an exception in a handler says about the event: poison, or only bad luck."""

from parley.errors import DependencyUnavailable
from parley.storage.postgres import POSTGRES_UNAVAILABLE as NO_DATABASE
from parley.storage.redis import REDIS_UNAVAILABLE as NO_REDIS
from parley_events.subscription import Rejected

_OUTAGES: tuple[type[BaseException], ...] = (DependencyUnavailable, *NO_DATABASE, *NO_REDIS)


class HandlerTimeout(Exception):
    """A handler took longer than any may."""


def is_outage(error: Exception) -> bool:
    """Say whether the handler failed because something it needs is away: such an attempt does not count."""
    return isinstance(error, _OUTAGES)


def is_final(error: Exception, attempts: int, max_attempts: int) -> bool:
    """Say whether the event belongs to the dead letters after ``attempts`` counted attempts."""
    return isinstance(error, Rejected) or attempts >= max_attempts
