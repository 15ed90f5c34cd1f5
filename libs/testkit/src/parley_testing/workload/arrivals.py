"""Lag and rate of events at a receiver."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

RATE_WINDOW = 5.0
"""Seconds over which the rate of catching up is counted."""


@dataclass
class Arrivals:
    """Moments at which events arrived for the first time, and the longest time since they happened."""

    moments: list[float] = field(default_factory=list)
    longest_lag: float = 0.0

    def note(self, happened: datetime) -> None:
        """Note the first arrival of an event."""
        self.moments.append(time.monotonic())
        self.longest_lag = max(self.longest_lag, (datetime.now(UTC) - happened).total_seconds())

    def best_rate(self) -> float:
        """Return the most events per second of a window of ``RATE_WINDOW`` seconds: the rate of catching up."""
        best = first = 0
        for last, moment in enumerate(self.moments):
            while moment - self.moments[first] > RATE_WINDOW:
                first += 1
            best = max(best, last - first + 1)
        return best / RATE_WINDOW

    def __str__(self) -> str:
        return f"{len(self.moments)} events, longest lag {self.longest_lag:.1f} s, catches up {self.best_rate():.0f}/s"
