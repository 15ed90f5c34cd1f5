"""Options of outgoing TCP sockets: the kernel reports a lost host within seconds instead of after 15 minutes."""

import socket
import struct
import sys
from dataclasses import dataclass
from typing import Any

SocketOptions = tuple[tuple[int, int, int], ...]

DEFAULT_PEER_TIMEOUT = 10.0
PROBES = 3
"""Lost keepalive probes that end a connection."""
PING_INTERVAL_SHARE = 0.3
"""Interval of a stream's pings as a part of the timeout: a lost peer misses three, and a tenth is left for delays."""
MAX_PING_INTERVAL = 15.0
"""Seconds. Clients may rely on it, and proxies end connections that are silent for longer."""
MIN_REPEATED = 4
"""Repetitions of unacknowledged bytes before a peer counts as lost: three seconds with the kernel's pauses."""
_TCP_INFO = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_INFO = struct.Struct("=2xB21xI28xI")
"""Of Linux's ``struct tcp_info``: ``tcpi_retransmits``, ``tcpi_unacked``, ``tcpi_last_ack_recv`` (milliseconds)."""
_KEEPALIVE_IDLE = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)
"""macOS has another name for it."""


@dataclass
class PeerTimeout:
    """Seconds of silence after which the peer of a connection is lost."""

    seconds: float = DEFAULT_PEER_TIMEOUT

    @property
    def ping_interval(self) -> float:
        """Seconds of silence after which a stream sends a ping."""
        return min(self.seconds * PING_INTERVAL_SHARE, MAX_PING_INTERVAL)

    @property
    def idle_and_interval(self) -> tuple[int, int]:
        """Whole seconds of silence before the first keepalive probe, and between two probes."""
        interval = max(1, int(self.seconds / (PROBES + 2)))
        return max(1, int(self.seconds) - interval * PROBES), interval

    def keepalive(self) -> SocketOptions:
        """Options that detect a lost host while this process only waits. For peers that may rightly read slowly."""
        idle, interval = self.idle_and_interval
        return (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            *_tcp(_KEEPALIVE_IDLE, idle),
            *_tcp(getattr(socket, "TCP_KEEPINTVL", None), interval),
            *_tcp(getattr(socket, "TCP_KEEPCNT", None), PROBES),
        )

    def loss_detection(self) -> SocketOptions:
        """Options that also detect a lost host while sent data is unacknowledged.

        For servers that always read: databases. The window of a slow reader is closed for as long as it likes.
        """
        return (*self.keepalive(), *_tcp(getattr(socket, "TCP_USER_TIMEOUT", None), int(self.seconds * 1000)))


PEER_TIMEOUT = PeerTimeout()
"""The timeout of this process, set from its settings at the start."""


def is_peer_lost(opened: Any, seconds: float) -> bool:
    """Return whether sent bytes are unacknowledged although they were repeated, and nothing was heard for ``seconds``.

    The kernel sends no keepalive probes then, and repeats the bytes for 15 minutes. A peer that reads slowly
    acknowledges. Always False for sockets other than TCP, and on systems other than Linux.
    """
    if _TCP_INFO is None or opened is None or opened.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    info = opened.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO.size)
    if len(info) < _INFO.size:
        return False
    repeated, unacknowledged, heard_ms = _INFO.unpack(info)
    return bool(unacknowledged and repeated >= MIN_REPEATED and heard_ms >= seconds * 1000)


def set_options(opened: Any, options: SocketOptions) -> None:
    """Set options on a socket; other kinds of sockets than TCP, and None, are left as they are."""
    if opened is not None and opened.family in (socket.AF_INET, socket.AF_INET6):
        for level, option, value in options:
            opened.setsockopt(level, option, value)


def _tcp(option: int | None, value: int) -> SocketOptions:
    return () if option is None else ((socket.IPPROTO_TCP, option, value),)
