"""RabbitMQ killed, wiped, frozen and out of memory: turns go on, and history stores each once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from parley_testing import eventually
from parley_testing.backends.private_servers import PrivateBackends
from parley_testing.faults import processes
from parley_testing.http.client import UserClient
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.workload.event_recorder import EventRecorder
from parley_testing.workload.turns import (
    AnsweredTurn,
    continue_conversations,
    stored_exactly_once,
    take_turn,
    take_turns,
)

pytestmark = pytest.mark.e2e

TURNS = 50
LONG = "long [[fake tokens=30 rate=15]]"
STEADY = "steady [[fake tokens=5 rate=5]]"
SHORT = "short [[fake tokens=3]]"
DRAIN_TIMEOUT = 60.0
DETECTION_TIMEOUT = 20.0
ALARM_SECONDS = 30.0
REFILL_TIMEOUT = 90.0
TURN_TIMEOUT = 30.0
"""Maximum seconds of a short turn on a busy machine while the broker is down."""


@pytest.fixture(autouse=True)
async def restored_broker(private_backends: PrivateBackends, private_stack: SeparateStack) -> AsyncIterator[None]:
    """Restore the broker after each test."""
    yield
    await private_backends.rabbitmq.start()
    await eventually(lambda: bus_is(private_stack, "up"), within=30)


async def bus_is(stack: SeparateStack, status: str) -> bool:
    """Return whether every process with a bus reports this status of it."""
    found = await asyncio.gather(*(replica.dependency("bus") for replica in processes_with_bus(stack)))
    return set(found) == {status}


def processes_with_bus(stack: SeparateStack) -> list[ServiceProcess]:
    return [*stack.auth, *stack.chat, *stack.history, *stack.workers]


async def running_turns(stack: SeparateStack) -> float:
    return sum([await replica.metric("chat_turns_running") for replica in stack.chat])


async def pending_events(stack: SeparateStack) -> float:
    return sum([await replica.metric("outbox_pending") for replica in stack.chat])


@pytest.mark.chaos
async def test_turns_running_while_rabbitmq_is_killed_end_normally_and_are_stored_once(
    private_backends: PrivateBackends,
    private_stack: SeparateStack,
    users: list[UserClient],
    event_recorder: EventRecorder,
) -> None:
    answers = asyncio.create_task(take_turns(users, TURNS, LONG))
    await eventually(lambda: running_turns(private_stack), within=TURN_TIMEOUT)
    await private_backends.kill_broker()
    turns = await answers
    assert {turn.status for turn in turns} == {"completed"}
    turns += await continue_conversations(turns[:10], SHORT)
    assert processes.port_refuses(private_backends.rabbitmq.port)
    assert await bus_is(private_stack, "down")
    await eventually(lambda: pending_events(private_stack))

    opened = await private_backends.start_broker()
    left = opened + DRAIN_TIMEOUT - asyncio.get_running_loop().time()
    await stored_exactly_once(turns, within=left)
    print(f"{len(turns)} turns in history {asyncio.get_running_loop().time() - opened:.1f} s after the port opened")
    await event_recorder.expect([turn.id for turn in turns], within=DRAIN_TIMEOUT)


@pytest.mark.chaos
async def test_history_is_refilled_after_the_broker_lost_confirmed_events(
    private_backends: PrivateBackends,
    private_stack: SeparateStack,
    users: list[UserClient],
    event_recorder: EventRecorder,
) -> None:
    worker = private_stack.workers[0]
    await worker.stop()
    turns = await take_turns(users, 20, SHORT)
    await eventually(lambda: all_sent(private_stack), within=TURN_TIMEOUT)
    await private_backends.kill_broker()
    await private_backends.wipe_broker()
    # Services start and become ready without a broker.
    chat = private_stack.chat[0]
    await chat.stop()
    await asyncio.gather(worker.start(), chat.start())
    assert [await replica.dependency("bus") for replica in (worker, chat)] == ["down", "down"]
    turns.append(await take_turn(users[0], SHORT))

    await private_backends.start_broker()
    await stored_exactly_once(turns, within=REFILL_TIMEOUT)
    assert sum([await replica.metric("chat_turns_republished_total") for replica in private_stack.chat]) >= 20
    # The external subscriber's queue was wiped too: events published before it declares it again are lost to it.
    await event_recorder.reset((await take_turn(users[0], SHORT)).id, within=REFILL_TIMEOUT)


@pytest.mark.chaos
async def test_a_frozen_broker_is_detected_and_blocks_no_turn(
    private_backends: PrivateBackends, private_stack: SeparateStack, users: list[UserClient]
) -> None:
    loop = asyncio.get_running_loop()
    async with processes.frozen(private_backends.rabbitmq.child):
        frozen_at = loop.time()
        noticed = asyncio.create_task(eventually(lambda: bus_is(private_stack, "down"), within=DETECTION_TIMEOUT))
        turns = [await take_turn(users[0], SHORT)]
        while not noticed.done():
            turns.append(await take_turn(users[len(turns) % len(users)], SHORT))
        await noticed
        print(f"noticed after {loop.time() - frozen_at:.1f} s; slowest of {len(turns)} turns {slowest(turns):.2f} s")
    assert slowest(turns) < TURN_TIMEOUT
    assert {turn.status for turn in turns} == {"completed"}
    await stored_exactly_once(turns, within=30)


@pytest.mark.chaos
async def test_turns_end_and_consumers_drain_during_a_memory_alarm(
    private_backends: PrivateBackends,
    private_stack: SeparateStack,
    users: list[UserClient],
    event_recorder: EventRecorder,
) -> None:
    worker = private_stack.workers[0]
    await worker.stop()
    before = await take_turns(users, 20, SHORT)
    await eventually(lambda: all_sent(private_stack), within=TURN_TIMEOUT)
    loop = asyncio.get_running_loop()
    async with private_backends.memory_alarm():
        until = loop.time() + ALARM_SECONDS
        during = [await take_turn(users[0], SHORT)]
        await worker.start()
        await stored_exactly_once(before, within=DRAIN_TIMEOUT)
        await eventually(lambda: publisher_is_blocked(private_stack), within=DETECTION_TIMEOUT)
        during += await take_turns(users, 4, SHORT)
        while loop.time() < until:
            during += await take_turns(users, 4, STEADY)
        assert await pending_events(private_stack) > 0
    turns = [*before, *during]
    assert slowest(turns) < TURN_TIMEOUT
    assert {turn.status for turn in turns} == {"completed"}
    await stored_exactly_once(turns, within=DRAIN_TIMEOUT)
    await event_recorder.expect([turn.id for turn in turns], within=DRAIN_TIMEOUT)


async def publisher_is_blocked(stack: SeparateStack) -> bool:
    """Return whether a chat reports that publishing is blocked; RabbitMQ blocks only connections that publish."""
    return "down" in [await replica.dependency("bus") for replica in stack.chat]


async def all_sent(stack: SeparateStack) -> bool:
    """Return whether chat's outbox is empty."""
    found: dict[str, float] = (await stack.chat[0].status())["outbox"]  # type: ignore[assignment]
    return found["pending"] == 0


def slowest(turns: list[AnsweredTurn]) -> float:
    return max(turn.seconds for turn in turns)
