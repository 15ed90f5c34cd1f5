"""Time for the erasure of a user's data, which services delete in batches."""

import time

import structlog

from parley.errors import DependencyUnavailable

log = structlog.get_logger()

ERASURE_TIMEOUT = 50.0
"""Seconds for each statement: a user may have hundreds of thousands of rows."""
WORK_TIME = 25.0
"""Seconds after which an attempt ends unfinished. The handler of an event has 60 s."""


class WorkTime:
    """The time of one attempt. What the attempt has deleted stays deleted, and the next one goes on."""

    def __init__(self, seconds: float) -> None:
        """Start the time."""
        self._until = time.monotonic() + seconds

    def check(self) -> None:
        """Raise DependencyUnavailable if the time is up: the event is tried again, and that uses up no attempt."""
        if time.monotonic() > self._until:
            log.info("erasure_continues")
            raise DependencyUnavailable("The erasure goes on with the next attempt.")
