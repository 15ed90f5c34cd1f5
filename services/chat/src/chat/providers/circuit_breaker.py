"""Circuit breaker per provider: opens after consecutive failures, then admits one trial call."""

import time
from collections.abc import Callable

from chat.errors import ProviderUnavailable
from chat.providers.failures import AttemptFailed

FAILURE_THRESHOLD = 50
"""Consecutive failures that open the breaker."""
OPEN_DURATION = 5.0
"""Seconds for which the breaker stays open."""


class CircuitOpen(AttemptFailed):
    """The breaker is open; no request was sent."""


class CircuitBreaker:
    """A breaker: closed, open, or half-open with one trial call."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._half_open_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open."""
        return self._failures >= FAILURE_THRESHOLD and self._clock() < self._half_open_at

    def check(self) -> None:
        """Raise CircuitOpen while the breaker is open."""
        remaining = self._half_open_at - self._clock()
        if self._failures < FAILURE_THRESHOLD:
            return
        if remaining > 0:
            raise CircuitOpen(ProviderUnavailable(retry_after=int(remaining) + 1), retryable=False)
        self._half_open_at = self._clock() + OPEN_DURATION

    def succeeded(self) -> None:
        """Record a success."""
        self._failures = 0

    def failed(self) -> None:
        """Record a failure."""
        self._failures += 1
        if self._failures >= FAILURE_THRESHOLD:
            self._half_open_at = self._clock() + OPEN_DURATION


class CircuitBreakers:
    """Breakers by base URL, as many as the catalogue has targets."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_target: dict[str, CircuitBreaker] = {}

    def for_target(self, target: str) -> CircuitBreaker:
        """Return the breaker of a base URL."""
        return self._by_target.setdefault(target, CircuitBreaker(self._clock))
