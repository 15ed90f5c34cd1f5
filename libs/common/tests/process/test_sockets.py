"""Socket options that make the kernel report a lost host."""

import socket
from contextlib import closing

import pytest

from parley.process.sockets import PEER_TIMEOUT, PROBES, PeerTimeout, set_options


def test_a_silent_connection_is_probed() -> None:
    with closing(socket.socket()) as opened:
        set_options(opened, PEER_TIMEOUT.keepalive())
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        found = [
            opened.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        assert found == [4, 2, PROBES]
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0, "slow readers are legitimate"


def test_unacknowledged_data_ends_a_connection_to_a_database() -> None:
    with closing(socket.socket(socket.AF_INET6)) as opened:
        set_options(opened, PEER_TIMEOUT.loss_detection())
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000


def test_other_sockets_stay_as_they_are() -> None:
    set_options(None, PEER_TIMEOUT.loss_detection())
    with closing(socket.socket(socket.AF_UNIX)) as opened:
        set_options(opened, PEER_TIMEOUT.loss_detection())
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


@pytest.mark.parametrize("seconds", [2, 5, 10, 60, 300])
def test_no_lost_peer_goes_unnoticed_for_longer_than_the_timeout(seconds: float) -> None:
    timeout = PeerTimeout(seconds)
    idle, interval = timeout.idle_and_interval
    assert idle + interval * PROBES <= max(seconds, 1 + PROBES)
    assert 3 * timeout.ping_interval < seconds
