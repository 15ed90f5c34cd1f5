"""Leading chat process frozen for 30 s: the other one takes over, and each turn ends once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from parley_testing import eventually
from parley_testing.faults import processes
from parley_testing.http.client import UserClient, open_http
from parley_testing.stacks.relay_leader import leading_chat, relay_leader
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.workload.event_recorder import EventRecorder
from parley_testing.workload.turns import AnsweredTurn, ResumingReader, stored_exactly_once, take_turns

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

STEADY = "steady [[fake tokens=5 rate=5]]"
SHORT = "short [[fake tokens=3]]"
LONG = "long [[fake tokens=100 rate=10]]"
FREEZE_SECONDS = 30.0
TAKEOVER_TIMEOUT = 15.0
TURN_TIMEOUT = 10.0


@pytest.fixture
async def leader(private_stack: SeparateStack) -> ServiceProcess:
    return await leading_chat(private_stack, within=TAKEOVER_TIMEOUT)


@pytest.fixture
async def survivor(private_stack: SeparateStack, leader: ServiceProcess) -> ServiceProcess:
    return next(replica for replica in private_stack.chat if replica is not leader)


@pytest.fixture
async def at_survivor(survivor: ServiceProcess, users: list[UserClient]) -> AsyncIterator[list[UserClient]]:
    async with open_http(survivor.url) as http:
        yield [replace(user, http=http) for user in users]


@pytest.fixture
async def readers(
    leader: ServiceProcess, survivor: ServiceProcess, users: list[UserClient]
) -> AsyncIterator[list[ResumingReader]]:
    async with open_http(leader.url) as first, open_http(survivor.url) as second:
        yield [ResumingReader(user, [first, second]) for user in users * 2]


async def test_a_leader_frozen_for_30_s_is_replaced_and_its_turns_end_once(
    private_stack: SeparateStack,
    users: list[UserClient],
    leader: ServiceProcess,
    survivor: ServiceProcess,
    readers: list[ResumingReader],
    at_survivor: list[UserClient],
    event_recorder: EventRecorder,
) -> None:
    loop = asyncio.get_running_loop()
    reading = [asyncio.create_task(reader.read(LONG)) for reader in readers]
    await eventually(lambda: all(reader.text for reader in readers), within=TURN_TIMEOUT)
    async with processes.frozen(leader.child):
        began = loop.time()
        turns = await take_turns(at_survivor, 20, SHORT)
        await eventually(
            lambda: leads(private_stack, survivor), within=TAKEOVER_TIMEOUT, message="no process took over"
        )
        print(f"taken over after {loop.time() - began:.1f} s")
        await event_recorder.expect([turn.id for turn in turns], within=TAKEOVER_TIMEOUT)
        while loop.time() < began + FREEZE_SECONDS:
            turns += await take_turns(at_survivor, 4, STEADY)
        await event_recorder.expect([reader.turn_id for reader in readers], within=TAKEOVER_TIMEOUT)
    ended = await asyncio.gather(*reading)
    assert {turn.status for turn in ended} == {"incomplete"}
    everything = [at_gateway(turn, users) for turn in [*turns, *ended]]
    await stored_exactly_once(everything, within=TAKEOVER_TIMEOUT)
    await event_recorder.expect([turn.id for turn in everything], within=TAKEOVER_TIMEOUT)
    assert await leads(private_stack, survivor)


async def leads(stack: SeparateStack, replica: ServiceProcess) -> bool:
    return await relay_leader(stack.database_url("chat")) == replica.child.pid


def at_gateway(turn: AnsweredTurn, users: list[UserClient]) -> AnsweredTurn:
    return replace(turn, user=next(user for user in users if user.username == turn.user.username))
