"""A breaker for each target: after failures in a row it refuses for a while, then lets one call try."""

import time
from collections.abc import Callable

from chat.errors import ProviderUnavailable
from chat.providers.failures import AttemptFailed

THRESHOLD = 50
"""Failures in a row that open it."""
PAUSE = 5.0
"""Seconds for which it stays open."""


class CircuitOpen(AttemptFailed):
    """The breaker is open: the target was not even asked."""


class CircuitBreaker:
    """Closed, open, or letting one call try."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._closed_again_at = 0.0

    def check(self) -> None:
        """Raise Refused while the breaker is open."""
        remaining = self._closed_again_at - self._clock()
        if self._failures < THRESHOLD:
            return
        if remaining > 0:
            raise CircuitOpen(ProviderUnavailable(retry_after=int(remaining) + 1), retryable=False)
        self._closed_again_at = self._clock() + PAUSE

    def succeeded(self) -> None:
        """Note that the target answered."""
        self._failures = 0

    def failed(self) -> None:
        """Note that the target failed."""
        self._failures += 1
        if self._failures >= THRESHOLD:
            self._closed_again_at = self._clock() + PAUSE


class CircuitBreakers:
    """The breakers of all targets; there are as many as the catalogue has."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_target: dict[str, CircuitBreaker] = {}

    def of(self, target: str) -> CircuitBreaker:
        """Return the breaker of a target."""
        return self._by_target.setdefault(target, CircuitBreaker(self._clock))
