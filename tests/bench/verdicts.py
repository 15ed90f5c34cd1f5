"""Verdicts of benchmarks: one line for each figure with a target, and counts of refused requests."""

from collections import Counter


def judge(text: str, *, met: bool) -> bool:
    """Print a line that ends in ``met`` or ``missed``; return ``met``."""
    print(f"{text}: {'met' if met else 'missed'}", flush=True)
    return met


class RefusalCounter:
    """Counts refused requests: responses other than 200 by status and code, and connections that broke."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()

    def add(self, status: object) -> None:
        """Count a refused request."""
        self.statuses[str(status)] += 1

    def __str__(self) -> str:
        """Return the counts in one line."""
        kinds = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        return f"{self.statuses.total()} refused" + (f" ({kinds})" if kinds else "")
