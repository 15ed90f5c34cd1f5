"""Retry budget of an upstream service: retries must not overload a service that is failing."""

import time
from collections.abc import Callable

RETRY_SHARE, MIN_RETRIES, WINDOW = 0.2, 3, 10.0
"""Share of the recent requests that may be retried, retries that are always allowed, and the window in seconds."""


class RetryBudget:
    """Allows one retry per five recent requests, and at least three."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window_start = clock()
        self._requests = self._retries = 0

    def count_request(self) -> None:
        self._decay()
        self._requests += 1

    def take(self) -> bool:
        """Return whether one more retry is allowed, and count it."""
        self._decay()
        if self._retries >= max(MIN_RETRIES, self._requests * RETRY_SHARE):
            return False
        self._retries += 1
        return True

    def _decay(self) -> None:
        """Halve the counts after one window, and reset them after two."""
        now = self._clock()
        if now - self._window_start <= WINDOW:
            return
        recent = now - self._window_start <= 2 * WINDOW
        self._requests = self._requests // 2 if recent else 0
        self._retries = self._retries // 2 if recent else 0
        self._window_start = now
