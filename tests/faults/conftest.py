"""Users and an external subscriber of the separate profile, whose servers and processes the tests break."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from parley_testing.backends.private_servers import PrivateBackends, open_private_backends
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.http.client import UserClient
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.workload.event_recorder import EventRecorder, record_events
from parley_testing.workload.turns import open_users, stored_exactly_once, take_turns

RECONCILE_INTERVAL = "5"
USERS = 4
FIRST_TURNS_TIMEOUT = 60.0
"""Seconds in which a stack that has just started stores its first turns."""


@pytest.fixture
async def own_backends(
    backends: SharedBackends, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PrivateBackends]:
    """Servers for a test with a stack of its own. Two stacks on one broker would take each other's events."""
    async with open_private_backends(tmp_path_factory.mktemp("servers"), backends) as servers:
        yield servers


@pytest.fixture(scope="session")
async def private_stack(separate: SeparateStack) -> SeparateStack:
    """The separate stack with chats that compare their turns with history every few seconds."""
    for chat in separate.chat:
        chat.settings = {**chat.settings, "RECONCILE_INTERVAL": RECONCILE_INTERVAL}
    await asyncio.gather(*(chat.start() for chat in separate.chat))
    return separate


@pytest.fixture(scope="session")
async def registered_users(private_stack: SeparateStack) -> AsyncIterator[list[UserClient]]:
    async with open_users(private_stack, USERS) as found:
        turns = await take_turns(found, USERS, "first [[fake tokens=1]]")
        await stored_exactly_once(turns, within=FIRST_TURNS_TIMEOUT)
        yield found


@pytest.fixture
async def users(registered_users: list[UserClient]) -> list[UserClient]:
    await asyncio.gather(*(user.renew() for user in registered_users))
    return registered_users


@pytest.fixture(scope="session")
async def event_recorder(
    private_backends: PrivateBackends, private_stack: SeparateStack
) -> AsyncIterator[EventRecorder]:
    """An external subscriber that records every event of a turn's start and end."""
    async with record_events(private_backends.rabbitmq.url) as recorder:
        yield recorder
