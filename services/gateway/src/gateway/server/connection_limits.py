"""Limits on client connections, in total and per address, and the choice of the connection that makes room."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from gateway.server.connection_rate import ConnectionRate
from parley import errors
from parley.errors import ParleyError

IDLE_TIMEOUT, SHORT_IDLE_TIMEOUT = 75.0, 5.0
"""Seconds that a connection stays open without a request, and when more than half of the allowed ones are open."""
MAX_REFUSED = 128
"""Refused connections that may stay open until their client has read the error response."""
LOCAL_PEERS = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
"""Peers whose new connections are not limited per second: proxies and probes on this machine. Those in
TRUSTED_PROXIES, which have no subject, are not limited either."""
SubjectOf = Callable[[str], str | None]
"""Returns the subject that a peer's connections count on, or None for a trusted proxy."""


class Connection(Protocol):
    """A client connection, as far as the limits know it."""

    transport: asyncio.Transport


class ConnectionLimits:
    """The counted connections of one server. A connection without a request is idle and makes room for a new one."""

    def __init__(
        self,
        *,
        total: int,
        per_address: int,
        subject_of: SubjectOf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._per_address, self._subject_of = total, per_address, subject_of
        self._rate = ConnectionRate(clock)
        self._subjects: dict[Connection, str | None] = {}
        self._by_subject: dict[str, set[Connection]] = {}
        self._idle: OrderedDict[Connection, int] = OrderedDict()
        self._turns = 0
        self._refused: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._subjects)

    def too_frequent(self, peer: str) -> bool:
        """Count a new connection on the rate of its address. Return whether it must be closed at once."""
        subject = None if peer in LOCAL_PEERS else self._subject_of(peer)
        return subject is not None and not self._rate.take(subject)

    def admit(self, connection: Connection, peer: str) -> ParleyError | None:
        """Count a new connection as idle, or return the error that refuses it. Close the longest idle one for it."""
        subject = self._subject_of(peer)
        if self._count(subject) >= self._per_address and not self._make_room(self._longest_idle(subject)):
            self._refused.add(connection)
            return errors.RateLimited(
                f"At most {self._per_address} connections per address are allowed. Close some first.",
                headers={"Retry-After": "1"},
            )
        if len(self._subjects) >= self._total and not self._make_room(next(iter(self._idle), None)):
            self._refused.add(connection)
            return errors.Overloaded()
        self._subjects[connection] = subject
        if subject is not None:
            self._by_subject.setdefault(subject, set()).add(connection)
        self.mark_idle(connection)
        return None

    def too_many_refused(self, connection: Connection) -> bool:
        """Return whether a refused connection must be closed at once."""
        return connection in self._refused and len(self._refused) > MAX_REFUSED

    def release(self, connection: Connection) -> None:
        """Stop counting a connection."""
        self._refused.discard(connection)
        self._idle.pop(connection, None)
        subject = self._subjects.pop(connection, None)
        if subject is None:
            return
        own = self._by_subject[subject]
        own.remove(connection)
        if not own:
            del self._by_subject[subject]

    def mark_busy(self, connection: Connection) -> None:
        """Keep a connection open, because it has a request."""
        self._idle.pop(connection, None)

    def mark_idle(self, connection: Connection) -> None:
        """Let a connection make room for others, because its requests are complete."""
        if connection in self._subjects:
            self._turns += 1
            self._idle[connection] = self._turns

    def idle_timeout(self, connection: Connection) -> float:
        """Return the seconds that a connection may be idle: fewer while many are open."""
        crowded = len(self._subjects) * 2 > self._total
        if crowded or self._count(self._subjects.get(connection)) * 2 > self._per_address:
            return SHORT_IDLE_TIMEOUT
        return IDLE_TIMEOUT

    def _count(self, subject: str | None) -> int:
        return len(self._by_subject.get(subject, ())) if subject else 0

    def _longest_idle(self, subject: str | None) -> Connection | None:
        own = self._by_subject.get(subject, ()) if subject else ()
        return min((each for each in own if each in self._idle), key=self._idle.__getitem__, default=None)

    def _make_room(self, idle: Connection | None) -> bool:
        """Close an idle connection. Return False if there is none."""
        if idle is None:
            return False
        self.release(idle)
        idle.transport.close()
        return True
