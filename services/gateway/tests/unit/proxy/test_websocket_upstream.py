"""Connections of WebSockets to services whose host vanishes."""

import sys
from types import SimpleNamespace
from typing import cast

import pytest
from websockets.asyncio.client import ClientConnection

from gateway.proxy.websocket_upstream import abort_if_lost
from gateway_testing.fakes import FakeTransport, VanishedPeer


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels report otherwise")
def test_a_websocket_ends_when_its_host_has_vanished_before_it_acknowledged_a_frame() -> None:
    connected, lost = FakeTransport(), VanishedPeer()
    for transport in (connected, lost, lost):
        abort_if_lost(cast("ClientConnection", SimpleNamespace(transport=transport)))
    assert not connected.aborted
    assert lost.aborted
