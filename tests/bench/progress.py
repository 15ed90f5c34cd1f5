"""Progress of a benchmark that takes many events: how many are left, and the memory that they add."""

import asyncio
import os

from parley_testing.faults.processes import resident_bytes

MEMORY_CHECK_INTERVAL = 500
"""Events between two measurements of the memory."""
MAX_GROWTH = 64_000_000
"""Most bytes of memory that the events may add, however many there are."""


class Countdown:
    """Counts the events that are left, and sets ``reached`` when no more than its goal are."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.reached = asyncio.Event()
        self._goal = 0

    def aim(self, goal: int) -> None:
        """Set the number of events that may be left."""
        self._goal = goal
        self.reached.clear()
        self._check()

    def count(self) -> None:
        """Count one event."""
        self.left -= 1
        self._check()

    def _check(self) -> None:
        if self.left <= self._goal:
            self.reached.set()


class MemoryGrowth:
    """Measures how much memory this process gains while it takes events."""

    def __init__(self) -> None:
        self._before = self._most = resident_bytes(os.getpid())
        self._count = 0

    @property
    def bytes(self) -> int:
        """Bytes that were added at most."""
        return self._most - self._before

    def count(self) -> None:
        """Count one event."""
        self._count += 1
        if self._count % MEMORY_CHECK_INTERVAL == 0:
            self._most = max(self._most, resident_bytes(os.getpid()))

    def __str__(self) -> str:
        return f"memory +{self.bytes / 1e6:.0f} MB to {self._most / 1e6:.0f} MB"
