"""The product on servers of its own, for tests that break them: two replicas of everything that can have them."""

from collections.abc import AsyncIterator

import pytest

from fake_provider.process import FakeProvider
from parley_testing.backends.private import PrivateBackends, open_private_backends
from parley_testing.backends.shared import SharedBackends
from parley_testing.http.client import UserClient
from parley_testing.stacks.separate import SeparateStack
from parley_testing.workload.event_recorder import EventRecorder, record_events
from parley_testing.workload.turns import open_users, stored_exactly_once, take_turns

SETTINGS = {
    "RATE_LIMIT_REQUESTS": "100000",
    "RATE_LIMIT_BURST": "10000",
    "ANONYMOUS_RATE_LIMIT": "100000",
    "RATE_LIMIT_PATIENCE": "1",
    "STREAMS_PER_USER": "100",
    "RECONCILE_INTERVAL": "5",
    "DRAIN_TIMEOUT": "6",
}
REPLICAS = 2
USERS = 4
WARM = 30.0
"""Seconds that a stack which has just started gets to store its first turns."""


@pytest.fixture(scope="session")
async def private_servers(
    backends: SharedBackends, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PrivateBackends]:
    async with open_private_backends(tmp_path_factory.mktemp("servers"), backends) as servers:
        yield servers


@pytest.fixture(scope="session")
async def private_provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


@pytest.fixture(scope="session")
async def private_stack(
    private_servers: PrivateBackends, private_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SeparateStack]:
    stack = SeparateStack(
        tmp_path_factory.mktemp("stack"),
        private_servers.infrastructure,
        private_provider.base_url,
        replicas=REPLICAS,
        settings=SETTINGS,
    )
    async with stack as running:
        yield running


@pytest.fixture(scope="session")
async def users(private_stack: SeparateStack) -> AsyncIterator[list[UserClient]]:
    async with open_users(private_stack, USERS) as found:
        await stored_exactly_once(await take_turns(found, USERS, "warm [[fake tokens=1]]"), within=WARM)
        yield found


@pytest.fixture(scope="session")
async def eavesdropper(private_servers: PrivateBackends, private_stack: SeparateStack) -> AsyncIterator[EventRecorder]:
    async with record_events(private_servers.rabbitmq.url) as heard:
        yield heard
