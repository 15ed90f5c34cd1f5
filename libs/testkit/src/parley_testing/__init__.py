"""Test kit of Parley: pytest plugin, backends, stacks, faults and contract suites."""

from parley_testing.waiting import eventually

__all__ = ["eventually"]
