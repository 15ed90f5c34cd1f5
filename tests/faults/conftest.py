"""Separate profile on private servers that tests may break, with two replicas of gateway, chat and history."""

from collections.abc import AsyncIterator

import pytest

from fake_provider.process import FakeProvider
from parley_testing.backends.private import PrivateBackends, open_private_backends
from parley_testing.backends.shared import SharedBackends
from parley_testing.http.client import UserClient
from parley_testing.stacks.separate import SeparateStack
from parley_testing.workload.event_recorder import EventRecorder, record_events
from parley_testing.workload.turns import open_users, stored_exactly_once, take_turns

SETTINGS = {"RECONCILE_INTERVAL": "5", "DRAIN_TIMEOUT": "6"}
REPLICAS = 2
USERS = 4
FIRST_TURNS_TIMEOUT = 30.0
"""Seconds in which a stack that has just started stores its first turns."""


@pytest.fixture(scope="session")
async def private_backends(
    backends: SharedBackends, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PrivateBackends]:
    async with open_private_backends(tmp_path_factory.mktemp("servers"), backends) as servers:
        yield servers


@pytest.fixture(scope="session")
async def private_stack(
    private_backends: PrivateBackends,
    provider: FakeProvider,
    high_limits: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[SeparateStack]:
    stack = SeparateStack(
        tmp_path_factory.mktemp("stack"),
        private_backends.urls,
        provider.base_url,
        replicas=REPLICAS,
        settings=high_limits | SETTINGS,
    )
    async with stack as running:
        yield running


@pytest.fixture(scope="session")
async def users(private_stack: SeparateStack) -> AsyncIterator[list[UserClient]]:
    async with open_users(private_stack, USERS) as found:
        turns = await take_turns(found, USERS, "first [[fake tokens=1]]")
        await stored_exactly_once(turns, within=FIRST_TURNS_TIMEOUT)
        yield found


@pytest.fixture(scope="session")
async def event_recorder(
    private_backends: PrivateBackends, private_stack: SeparateStack
) -> AsyncIterator[EventRecorder]:
    """An external subscriber that records every event of a turn's start and end."""
    async with record_events(private_backends.rabbitmq.url) as recorder:
        yield recorder
