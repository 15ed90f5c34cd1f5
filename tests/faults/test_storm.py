"""Random kills under load: each accepted turn is stored once."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest

from parley_testing import eventually
from parley_testing.backends.private_servers import PrivateBackends
from parley_testing.faults import processes
from parley_testing.http.client import UserClient, open_http
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.workload.event_recorder import EventRecorder
from parley_testing.workload.talking_user import TalkingUser

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

MESSAGE = "go on [[fake tokens=15 rate=15]]"
CONVERSATIONS = 16
KILLS = {"broker": 3, "worker": 10, "chat": 8, "everything": 16}
TURN_TIMEOUT = 60.0
SETTLE_TIMEOUT = 120.0
ENDED_WITH_OUTPUT = {"completed", "incomplete"}

Fault = Callable[[], Awaitable[None]]


@pytest.fixture
async def gateways(private_stack: SeparateStack) -> AsyncIterator[list[httpx2.AsyncClient]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_http(gateway.url)) for gateway in private_stack.gateways]


@pytest.fixture
def all_faults(private_backends: PrivateBackends, private_stack: SeparateStack) -> dict[str, list[Fault]]:
    async def broker() -> None:
        await private_backends.kill_broker()
        await private_backends.start_broker()

    async def valkey() -> None:
        await processes.restart(private_backends.valkey, port=private_backends.valkey.port)

    async def postgres() -> None:
        await processes.restart(private_backends.postgres, port=private_backends.postgres.port)

    groups: dict[str, list[Fault]] = {
        "broker": [broker],
        "worker": [killing(replica) for replica in private_stack.workers],
        "chat": [killing(replica) for replica in private_stack.chat],
    }
    others = [killing(replica) for replica in (*private_stack.gateways, *private_stack.history, *private_stack.auth)]
    groups["everything"] = [*(fault for group in groups.values() for fault in group), valkey, postgres, *others]
    return groups


def killing(replica: ServiceProcess) -> Fault:
    async def kill() -> None:
        await processes.kill(replica.child, port=replica.admin_port)
        await replica.stop()
        await replica.start()

    return kill


@pytest.mark.parametrize("victims", KILLS)
async def test_each_accepted_turn_is_stored_once(
    victims: str,
    all_faults: dict[str, list[Fault]],
    users: list[UserClient],
    gateways: list[httpx2.AsyncClient],
    event_recorder: EventRecorder,
) -> None:
    talkers = [TalkingUser(users[i % len(users)], gateways, MESSAGE, TURN_TIMEOUT) for i in range(CONVERSATIONS)]
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for talker in talkers:
            group.create_task(talker.talk(over))
        await asyncio.sleep(1)
        for fault in random.sample(all_faults[victims] * KILLS[victims], KILLS[victims]):
            await fault()
            await asyncio.sleep(random.uniform(0, 1.5))
        over.set()
    refused = sum((talker.refused for talker in talkers), Counter[str]())
    print(f"{victims}: {sum(len(talker.answered) for talker in talkers)} turns, refused meanwhile: {dict(refused)}")
    for talker in talkers:
        await settled(talker)
        await kept_once(talker, event_recorder)
    print(f"{victims}: all kept once; {event_recorder.duplicates} deliveries were repetitions, so far")


async def settled(talker: TalkingUser) -> None:
    async def none_runs() -> bool:
        return all(turn["status"] != "running" for turn in await turns_of(talker))

    await eventually(none_runs, within=SETTLE_TIMEOUT, message=f"a turn of {talker.conversation} never ends")


async def turns_of(talker: TalkingUser) -> list[dict[str, Any]]:
    return await everything(talker.user, f"/api/v1/chat/turns?conversation_id={talker.conversation}&limit=100")


async def everything(user: UserClient, path: str) -> list[dict[str, Any]]:
    """Return the entries of all pages."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        response = await user.request("GET", path + cursor)
        assert response.status_code == httpx2.codes.OK, response.text
        page = response.json()
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def kept_once(talker: TalkingUser, event_recorder: EventRecorder) -> None:
    """Assert that chat, history and the external subscriber agree about every turn of a conversation."""
    turns = await turns_of(talker)
    with_output = {turn["id"]: turn["status"] for turn in turns if turn["status"] in ENDED_WITH_OUTPUT}
    assert set(talker.answered) <= with_output.keys(), "an answered turn is gone"
    assert len(set(talker.answered)) == len(talker.answered), "two questions got one answer"

    async def stored() -> bool:
        path = f"/api/v1/conversations/{talker.conversation}/messages?limit=100&tree=true"
        messages = await everything(talker.user, path)
        answers = [m for m in messages if m["role"] == "assistant" and m["status"] in ENDED_WITH_OUTPUT]
        assert len({m["id"] for m in answers}) == len(answers), "an answer is there twice"
        found = {m["id"]: m["status"] for m in answers}
        assert found == with_output, f"history and chat disagree about {found.items() ^ with_output.items()}"
        return True

    await eventually(stored, within=SETTLE_TIMEOUT)
    await event_recorder.expect([turn["id"] for turn in turns], within=SETTLE_TIMEOUT)
