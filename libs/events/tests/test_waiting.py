"""Limited waits of the events package."""

from parley_events.waiting import at_most
from parley_testing.contracts.waits import WaitLimitContract


class TestSubscriberWaitLimitContract(WaitLimitContract):
    at_most = staticmethod(at_most)
