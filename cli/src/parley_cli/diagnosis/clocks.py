"""Differences between the clock of this machine and those of its dependencies."""

import time

from parley_cli.diagnosis.findings import Finding, fault, warning

MAX_SKEW, TOLERATED_SKEW = 5.0, 1.5
"""Seconds of a fault, and of a warning: a Date header has a resolution of one second."""


def check_clock(target: str, theirs: float, *, asked: float, answered: float) -> Finding:
    """Compare a clock, in seconds since 1970, with this machine's clock halfway between request and response."""
    skew = theirs - (asked + answered) / 2
    certain = max(0.0, abs(skew) - (answered - asked) / 2)
    text = f"Its clock is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}."
    facts = {"skew_s": round(skew, 3)}
    if certain > MAX_SKEW:
        return fault(target, "clock", "clock_skew", text, **facts)
    if certain > TOLERATED_SKEW:
        return warning(target, "clock", "clock_skew", text, **facts)
    return Finding(target, "clock", f"Its clock differs by {abs(skew):.2f} s.", facts=facts)


def now() -> float:
    """Return the time of this machine in seconds since 1970."""
    return time.time()
