"""The budget of retries: an upstream in trouble must not get more requests because of it."""

import time
from collections.abc import Callable

RETRY_SHARE, RETRY_FLOOR, RETRY_WINDOW = 0.2, 3, 10.0


class RetryBudget:
    """Retries may be a fifth of the requests of the last seconds, three at least."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the clock (seconds)."""
        self._clock = clock
        self._since = clock()
        self._requests = self._retries = 0

    def request(self) -> None:
        """Count a request."""
        self._forget()
        self._requests += 1

    def take(self) -> bool:
        """Say whether one more retry is within the budget, and count it."""
        self._forget()
        if self._retries >= max(RETRY_FLOOR, self._requests * RETRY_SHARE):
            return False
        self._retries += 1
        return True

    def _forget(self) -> None:
        """Let what was counted fade: by half after one window, wholly after two."""
        now = self._clock()
        if now - self._since <= RETRY_WINDOW:
            return
        recent = now - self._since <= 2 * RETRY_WINDOW
        self._requests = self._requests // 2 if recent else 0
        self._retries = self._retries // 2 if recent else 0
        self._since = now
