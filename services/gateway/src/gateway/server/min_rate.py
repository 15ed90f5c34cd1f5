"""Minimum data rate of clients, against Slowloris attacks."""

import socket
import struct

MIN_BYTES_PER_SECOND = 1024
"""Rate at which a client must send its request body and read a pending response."""
_TCP_INFO = getattr(socket, "TCP_INFO", None)
_BYTES_ACKED = struct.Struct("=120xQ")
"""Offset of ``tcpi_bytes_acked`` in Linux's ``struct tcp_info`` (since 4.2)."""


class MinDataRate:
    """Requires the minimum rate of one direction of a connection, measured in windows of ``window`` seconds."""

    __slots__ = ("_bytes_at_start", "_started", "_window")

    def __init__(self, window: float) -> None:
        self._window = window
        self._started: float | None = None
        self._bytes_at_start = 0

    def pause(self) -> None:
        """Stop measuring, because the client has nothing to do. The next check starts a new window."""
        self._started = None

    def is_too_slow(self, now: float, total_bytes: int) -> bool:
        """Return whether a window has passed without its share. ``total_bytes``: transferred so far."""
        if self._started is None or total_bytes - self._bytes_at_start >= MIN_BYTES_PER_SECOND * self._window:
            self._started, self._bytes_at_start = now, total_bytes
            return False
        return now - self._started > self._window


class AckedBytes:
    """Counts the bytes that a client has acknowledged."""

    __slots__ = ("_drained", "_pending", "_socket")

    def __init__(self, client: socket.socket) -> None:
        self._socket = client
        self._drained = self._pending = 0

    def count(self, pending: int) -> int:
        """Return the bytes acknowledged so far, while ``pending`` bytes are buffered in this process.

        Linux reports the exact number. Elsewhere it is estimated from the bytes that left this process, which leave in
        large steps even when the client reads steadily.
        """
        self._drained += max(0, self._pending - pending)
        self._pending = pending
        acked = _acked_by_kernel(self._socket)
        return self._drained if acked is None else acked


def _acked_by_kernel(client: socket.socket) -> int | None:
    if _TCP_INFO is None:
        return None
    try:
        info = client.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES_ACKED.size)
    except OSError:
        return None
    return int(_BYTES_ACKED.unpack(info)[0]) if len(info) == _BYTES_ACKED.size else None
