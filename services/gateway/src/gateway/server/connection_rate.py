"""Rate of new connections per client address."""

import time
from collections import OrderedDict
from collections.abc import Callable

CONNECTION_BURST, CONNECTIONS_PER_SECOND = 500, 100
"""New connections that an address (IPv6: /64 network) may open at once, and each second in the long run."""
MAX_TRACKED_ADDRESSES = 10_000
"""Addresses whose rate is remembered; the one that connected longest ago is forgotten first."""
_INTERVAL = 1 / CONNECTIONS_PER_SECOND
_PERIOD = (CONNECTION_BURST + 0.5) * _INTERVAL  # half a connection, because sums of fractions are not exact


class ConnectionRate:
    """A token bucket for each address, kept as the time at which the bucket is full again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, subject: str) -> bool:
        """Count a new connection. Return False, without counting it, if the address has opened too many."""
        now = self._clock()
        full_at = max(now, self._full_at.get(subject, now)) + _INTERVAL
        if full_at - now > _PERIOD:
            return False
        self._full_at[subject] = full_at
        self._full_at.move_to_end(subject)
        if len(self._full_at) > MAX_TRACKED_ADDRESSES:
            self._full_at.popitem(last=False)
        return True
