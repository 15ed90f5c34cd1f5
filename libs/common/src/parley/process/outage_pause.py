"""Pause in the calls to a dependency that has just failed."""

import time
from collections.abc import Callable


class OutagePause:
    """Some seconds after a failed call in which callers skip the dependency, in place of waiting for its timeout."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._until = float("-inf")

    @property
    def is_over(self) -> bool:
        """Whether the dependency may be called."""
        return self._clock() >= self._until

    def begin(self) -> None:
        """Begin the pause, after a failed call."""
        self._until = self._clock() + self._seconds
