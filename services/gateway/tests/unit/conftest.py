"""A relay of event streams, and its client."""

import pytest

from gateway.access.streams import OpenStreams
from gateway.proxy.event_relaying import EventRelay
from gateway_testing.event_streams import FakeClient, make_relay
from gateway_testing.fakes import FakeStreamLeases
from parley.ratelimit.limiter import TokenSession


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def streams() -> OpenStreams:
    async def none_revoked(_sessions: object) -> set[TokenSession]:
        return set()

    return OpenStreams(none_revoked, FakeStreamLeases(), limit=10)


@pytest.fixture
def relay(streams: OpenStreams) -> EventRelay:
    return make_relay(streams, timeout=60)


@pytest.fixture
def impatient(streams: OpenStreams) -> EventRelay:
    """Gives up after a second."""
    return make_relay(streams, timeout=1)
