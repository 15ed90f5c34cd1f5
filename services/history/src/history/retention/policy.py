"""Retention of deleted conversations by plan."""

from collections.abc import Callable
from datetime import timedelta

from history.plans import HistoryPlans

RetentionPolicy = Callable[[str], timedelta]
"""Returns how long a plan keeps deleted conversations."""


def retention_policy(plans: HistoryPlans, default_days: int) -> RetentionPolicy:
    """Return the retention of each plan, which is ``default_days`` where the plan has none."""

    def retention(plan: str) -> timedelta:
        days = plans.find(plan).retention_days
        return timedelta(days=default_days if days is None else days)

    return retention
