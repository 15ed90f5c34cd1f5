"""Each kind of process killed while turns stream: each accepted turn ends once, unaltered."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import cycle
from typing import Any

import httpx2
import pytest

from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley_testing import eventually
from parley_testing.backends.private_servers import PrivateBackends
from parley_testing.faults import processes
from parley_testing.http.client import UserClient, open_http
from parley_testing.stacks.commands import run_parley
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.workload.event_recorder import EventRecorder
from parley_testing.workload.turns import AnsweredTurn, ResumingReader

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

KILLS, TURNS = 20, 10
END_TIMEOUT, STORE_TIMEOUT = 90.0, 90.0
UNAVAILABLE = (httpx2.codes.BAD_GATEWAY, httpx2.codes.SERVICE_UNAVAILABLE, httpx2.codes.GATEWAY_TIMEOUT)
"""Statuses on which a client retries while a process is down."""

Kill = Callable[[], Awaitable[None]]


async def watch(reader: ResumingReader, message: str) -> AnsweredTurn | None:
    """Read a turn to its end; return None if it was not accepted."""
    try:
        async with asyncio.timeout(END_TIMEOUT):
            return await reader.read(message)
    except AssertionError:
        if reader.turn_id:
            raise
        return None


def victims(stack: SeparateStack, servers: PrivateBackends) -> list[Kill]:
    """Return a restart of one process of each kind; each asserts that the process was dead."""

    def replica(found: processes.Restartable, port: int) -> Kill:
        return lambda: processes.restart(found, port=port)

    return [
        replica(stack.chat[0], stack.chat[0].port),
        replica(servers.valkey, servers.valkey.port),
        replica(servers.rabbitmq, servers.rabbitmq.port),
        replica(stack.workers[0], stack.workers[0].admin_port),
        replica(servers.postgres, servers.postgres.port),
    ]


async def one_round(readers: dict[str, ResumingReader], kill: Kill, moment: float) -> dict[str, AnsweredTurn | None]:
    """Kill while each reader reads a turn; return the turns by their messages."""
    async with asyncio.TaskGroup() as group:
        watching = {message: group.create_task(watch(reader, message)) for message, reader in readers.items()}
        await asyncio.sleep(moment)
        await kill()
    return {message: task.result() for message, task in watching.items()}


async def in_history(turn: AnsweredTurn) -> dict[str, Any] | None:
    """Return the stored answer of a turn; assert that it is stored at most once."""
    response = await turn.user.request("GET", f"/api/v1/conversations/{turn.conversation}/messages")
    if response.status_code != httpx2.codes.OK:
        return None
    answers = [m for m in response.json()["data"] if m["role"] == "assistant" and m["status"] != "running"]
    assert [m["id"] for m in answers] in ([], [turn.id])
    return answers[0] if answers else None


async def verify(stack: SeparateStack) -> str:
    _, output = await run_parley("verify", settings=stack.settings_of("chat"))
    return output


async def test_every_accepted_turn_ends_once_whatever_is_killed(
    private_backends: PrivateBackends,
    private_stack: SeparateStack,
    provider: FakeProvider,
    users: list[UserClient],
    event_recorder: EventRecorder,
) -> None:
    seed = random.randrange(1_000_000)
    moments, mark = random.Random(seed), str(new_id())
    targets = cycle(moments.sample(found := victims(private_stack, private_backends), len(found)))
    turns: dict[str, AnsweredTurn | None] = {}
    async with open_http(private_stack.url) as one, open_http(private_stack.url) as other:
        for number in range(KILLS):
            readers = {
                f"{mark}-{number}-{i} [[fake tokens=40 rate=20]]": ResumingReader(
                    users[i % len(users)], [one, other], retry_timeout=END_TIMEOUT, retried_statuses=UNAVAILABLE
                )
                for i in range(TURNS)
            }
            turns |= await one_round(readers, next(targets), moments.uniform(0.1, 1.5))
        accepted = {message: turn for message, turn in turns.items() if turn}
        print(f"seed {seed}: {KILLS} kills, {len(accepted)} of {len(turns)} turns accepted")
        assert len(accepted) >= len(turns) / 2

        for message, turn in accepted.items():
            kept = await eventually(partial(in_history, turn), within=STORE_TIMEOUT)
            assert (kept["status"], kept["content"]) == (turn.status, turn.text)
            calls = await provider.journal(contains=message.split()[0] + " ")
            assert len(calls) == 1, turn.id

    async def nothing_is_wrong() -> bool:
        return ", 0 wrong, 0 waiting" in await verify(private_stack)

    await eventually(nothing_is_wrong, within=STORE_TIMEOUT)
    await event_recorder.expect([turn.id for turn in accepted.values()], within=STORE_TIMEOUT)
