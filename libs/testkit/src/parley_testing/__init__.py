"""What tests of Parley, and of whoever builds on it, need."""

from parley_testing.waiting import eventually

__all__ = ["eventually"]
