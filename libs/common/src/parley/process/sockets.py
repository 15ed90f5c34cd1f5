"""Options of outgoing TCP sockets: the kernel reports a lost host within seconds instead of after 15 minutes."""

import socket
from typing import Any

IDLE, INTERVAL, PROBES = 4, 2, 3
"""Seconds of silence before the first keepalive probe, seconds between two probes, and lost probes that end it."""
LOST_AFTER_MS = (IDLE + INTERVAL * PROBES) * 1000
"""Milliseconds for which sent data may be unacknowledged, or wait because the receiver's window is closed."""

_KEEPALIVE_IDLE = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)
"""macOS has another name for it."""
KEEPALIVE: tuple[tuple[int, int, int], ...] = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, option, value) for option, value in (
        (_KEEPALIVE_IDLE, IDLE),
        (getattr(socket, "TCP_KEEPINTVL", None), INTERVAL),
        (getattr(socket, "TCP_KEEPCNT", None), PROBES),
    ) if option is not None),
)  # fmt: skip
"""Options that detect a lost host while this process only waits. For peers that may rightly read slowly."""
DETECT_LOSS: tuple[tuple[int, int, int], ...] = (
    *KEEPALIVE,
    *((socket.IPPROTO_TCP, option, LOST_AFTER_MS) for option in (getattr(socket, "TCP_USER_TIMEOUT", None),) if option),
)
"""Options that also detect a lost host while sent data is unacknowledged. For servers that always read: databases."""


def set_options(opened: Any, options: tuple[tuple[int, int, int], ...]) -> None:
    """Set options on a socket; other kinds of sockets than TCP, and None, are left as they are."""
    if opened is not None and opened.family in (socket.AF_INET, socket.AF_INET6):
        for level, option, value in options:
            opened.setsockopt(level, option, value)
