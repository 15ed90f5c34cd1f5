"""The least pace of a transfer: a client that sends or reads a byte now and then is as good as silent."""

import socket
import struct

MIN_DATA_RATE = 1024
"""Bytes a second that a client must send of its body, and take of an answer that waits for it."""
_TCP_INFO = getattr(socket, "TCP_INFO", None)
_BYTES_ACKED = struct.Struct("=120xQ")
"""Where Linux (4.2 and later) says in ``struct tcp_info`` how many bytes the other side has acknowledged."""


class Pace:
    """Holds one direction of a connection to the minimum data rate, each ``window`` seconds anew."""

    __slots__ = ("_mark", "_since", "_window")

    def __init__(self, window: float) -> None:
        """Take the seconds in which ``window * MIN_DATA_RATE`` bytes must go through."""
        self._window = window
        self._since: float | None = None
        self._mark = 0

    def rest(self) -> None:
        """Note that nothing waits for the client: the next transfer begins a new window."""
        self._since = None

    def too_slow(self, now: float, done: int) -> bool:
        """Say whether a window has passed without its share; ``done`` counts bytes since any fixed moment."""
        if self._since is None or done - self._mark >= MIN_DATA_RATE * self._window:
            self._since, self._mark = now, done
            return False
        return now - self._since > self._window


class Taken:
    """Counts the bytes that a client has taken."""

    __slots__ = ("_drained", "_socket", "_waiting")

    def __init__(self, client: socket.socket) -> None:
        """Take the client's socket."""
        self._socket = client
        self._drained = self._waiting = 0

    def count(self, waiting: int) -> int:
        """Return how many bytes the client has taken, while ``waiting`` bytes are left in this process.

        The kernel knows them exactly: what leaves this process in lumps may be read steadily. Where it does not tell,
        they are what was seen to leave.
        """
        self._drained += max(0, self._waiting - waiting)
        self._waiting = waiting
        acknowledged = _acknowledged(self._socket)
        return self._drained if acknowledged is None else acknowledged


def _acknowledged(client: socket.socket) -> int | None:
    if _TCP_INFO is None:
        return None
    try:
        found = client.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES_ACKED.size)
    except OSError:
        return None
    return int(_BYTES_ACKED.unpack(found)[0]) if len(found) == _BYTES_ACKED.size else None
