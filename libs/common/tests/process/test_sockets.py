"""Socket options that make the kernel report a lost host."""

import socket
from contextlib import closing

from parley.process.sockets import DETECT_LOSS, IDLE, INTERVAL, KEEPALIVE, LOST_AFTER_MS, PROBES, set_options


def test_a_silent_connection_is_probed() -> None:
    with closing(socket.socket()) as opened:
        set_options(opened, KEEPALIVE)
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        found = [
            opened.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        assert found == [IDLE, INTERVAL, PROBES]
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0, "slow readers are legitimate"


def test_unacknowledged_data_ends_a_connection_to_a_database() -> None:
    with closing(socket.socket(socket.AF_INET6)) as opened:
        set_options(opened, DETECT_LOSS)
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == LOST_AFTER_MS


def test_other_sockets_stay_as_they_are() -> None:
    set_options(None, DETECT_LOSS)
    with closing(socket.socket(socket.AF_UNIX)) as opened:
        set_options(opened, DETECT_LOSS)
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
