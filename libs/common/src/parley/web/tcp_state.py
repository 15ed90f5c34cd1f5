"""State of a TCP connection, for connections from which the event loop does not read."""

import socket

_TCP_INFO = getattr(socket, "TCP_INFO", None)
_ENDED_BY_PEER = frozenset({7, 8})
"""``TCP_CLOSE`` (after a reset) and ``TCP_CLOSE_WAIT`` in Linux's ``tcp_states.h``."""


def has_left(peer: socket.socket) -> bool:
    """Return whether the peer has reset the connection, or closed its sending side. Only Linux knows."""
    if _TCP_INFO is None or peer.family not in {socket.AF_INET, socket.AF_INET6}:
        return False
    try:
        return peer.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0] in _ENDED_BY_PEER
    except OSError:
        return True
