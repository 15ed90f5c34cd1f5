"""Tests of a subscriber without a broker: an in-process bus, and a sample of every event."""

from parley_events.testing.bus import InProcessBus
from parley_events.testing.samples import sample

__all__ = ["InProcessBus", "sample"]
