"""Socket options that make the kernel report a lost host."""

import socket
import struct
import sys
from contextlib import closing

import pytest

from parley.process.sockets import PEER_TIMEOUT, PROBES, PeerTimeout, is_peer_lost, set_options


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
    assert timeout.ping_interval <= 15, "the contract promises a ping every 15 s"


class InfoSocket:
    """A socket of which the kernel reports these figures."""

    family = socket.AF_INET

    def __init__(self, *, repeated: int, unacknowledged: int, heard_ms: int) -> None:
        self._info = struct.pack("=2xB21xI28xI44x", repeated, unacknowledged, heard_ms)

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        return self._info[:size]


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels report otherwise")
def test_a_peer_is_lost_when_repeated_bytes_stay_unacknowledged_and_nothing_is_heard() -> None:
    assert is_peer_lost(InfoSocket(repeated=5, unacknowledged=1, heard_ms=10_500), 10)
    assert not is_peer_lost(InfoSocket(repeated=5, unacknowledged=1, heard_ms=9_000), 10), "it may be late"
    assert not is_peer_lost(InfoSocket(repeated=0, unacknowledged=0, heard_ms=60_000), 10), "it only works"
    assert not is_peer_lost(InfoSocket(repeated=0, unacknowledged=1, heard_ms=60_000), 10), "the bytes were just sent"
    assert not is_peer_lost(None, 10)


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels report otherwise")
def test_the_kernel_reports_the_figures_of_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.send(b"hello")
        assert not is_peer_lost(client, 0.001)
