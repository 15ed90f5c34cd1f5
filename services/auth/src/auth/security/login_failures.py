"""Counts of failed log-ins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a log-in failed lately, and how many seconds ago the last time."""

    count: int = 0
    age: float = 0.0


class FailureCounts(Protocol):
    """Counts of failed log-ins that forget by themselves."""

    async def read(self, keys: Sequence[str]) -> list[Failures]:
        """Return the counts; raises DependencyUnavailable."""
        ...

    async def add(self, keys: Sequence[str], window: int) -> None:
        """Count one more for each key; forgotten ``window`` seconds after the last."""
        ...

    async def clear(self, key: str) -> None:
        """Forget a key."""
        ...
