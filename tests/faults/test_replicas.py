"""One of two replicas ends under load: whoever asks through a gateway sees nothing of it."""

import asyncio
import contextlib
import itertools
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial

import httpx2
import pytest

from parley_testing import eventually
from parley_testing.faults import processes
from parley_testing.http.client import UserClient, open_http
from parley_testing.stacks.separate import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.workload.turns import AnsweredTurn, ResumingReader, stored_exactly_once, take_turns

pytestmark = pytest.mark.e2e

STREAM = "stream [[fake tokens=30 rate=15]]"
SHORT = "short [[fake tokens=1]]"
PAUSE = 0.02
"""Seconds between an answer and the next request of one asker."""
WARM, AFTERWARDS = 160, 160
"""Answers before a replica ends, and after that."""
FEW = 2
"""Turns of the load that may run at one chat."""
PATIENCE = 30.0

Ask = Callable[[], Awaitable[httpx2.Response]]


class Load:
    """Requests one after the other from each asker, until it is enough."""

    def __init__(self) -> None:
        self.answers, self.failures = 0, list[str]()
        self._enough = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self, asks: list[Ask]) -> AsyncIterator[None]:
        """Ask while the context is entered; asserts that nothing failed."""
        async with asyncio.TaskGroup() as group:
            for ask in asks:
                group.create_task(self._keep_asking(ask))
            try:
                await self.more(WARM)
                yield
                await self.more(AFTERWARDS)
            finally:
                self._enough.set()
        assert not self.failures, f"{len(self.failures)} of {self.answers}: {self.failures[:5]}"

    async def more(self, count: int) -> None:
        """Wait for so many answers."""
        wanted = self.answers + count
        await eventually(lambda: self.answers >= wanted or self.failures, within=PATIENCE, message="no answers")

    async def _keep_asking(self, ask: Ask) -> None:
        while not self._enough.is_set():
            try:
                response = await ask()
            except httpx2.TransportError as error:
                self.failures.append(repr(error))
            else:
                if not response.is_success:
                    self.failures.append(f"{response.request.method} {response.request.url.path}: {response.text}")
            self.answers += 1
            await asyncio.sleep(PAUSE)


@pytest.fixture
async def everywhere(private_stack: SeparateStack, users: list[UserClient]) -> AsyncIterator[list[UserClient]]:
    """The users, each at one gateway, both gateways by turns."""
    async with contextlib.AsyncExitStack() as opened:
        doors = [await opened.enter_async_context(open_http(gateway.url)) for gateway in private_stack.gateways]
        yield [replace(user, http=door) for user, door in zip(users, itertools.cycle(doors), strict=False)]


@pytest.fixture(autouse=True)
async def complete(private_stack: SeparateStack) -> AsyncIterator[None]:
    """Leave every replica running behind, whatever happened."""
    yield
    await asyncio.gather(*(r.start() for r in private_stack.everything if not r.child.running))


def reads(user: UserClient) -> list[Ask]:
    """What may be asked twice, of chat and of history."""
    return [partial(user.request, "GET", path) for path in ("/api/v1/chat/turns", "/api/v1/conversations")]


def writes(user: UserClient, conversation: str) -> list[Ask]:
    """What may not be asked twice, of chat and of history."""
    path = f"/api/v1/conversations/{conversation}"
    return [
        partial(user.request, "POST", "/api/v1/chat", json={"message": SHORT}),
        partial(user.request, "PATCH", path, json={"title": "another"}),
    ]


async def told_to_end(replica: ServiceProcess) -> None:
    replica.child.send(signal.SIGTERM)
    await eventually(lambda: not replica.child.running, within=PATIENCE, message=f"{replica.name} does not end")
    assert replica.child.exit_status == 0


async def read(users: list[UserClient]) -> list[ResumingReader]:
    """Read a stream each to its end, without its breaking once."""
    readers = [ResumingReader(user, [user.http]) for user in users]
    turns: list[AnsweredTurn] = await asyncio.gather(*(reader.read(STREAM) for reader in readers))
    assert {turn.status for turn in turns} == {"completed"}
    assert [(reader.broken, reader.refused) for reader in readers] == [(0, 0)] * len(readers), "a stream was cut"
    await stored_exactly_once(turns, within=PATIENCE)
    return readers


@pytest.mark.parametrize("rounds", [1, pytest.param(2, marks=pytest.mark.chaos)])
async def test_sigterm_of_one_replica_after_the_other_fails_no_request_and_cuts_no_stream(
    private_stack: SeparateStack, everywhere: list[UserClient], rounds: int
) -> None:
    turns = await take_turns(everywhere, len(everywhere), SHORT)
    await stored_exactly_once(turns, within=PATIENCE)
    asks = [ask for turn in turns for ask in (*reads(turn.user), *writes(turn.user, turn.conversation))]
    load = Load()
    async with load.running(asks):
        for number in range(rounds):
            ending = [private_stack.chat[number], private_stack.history[number]]
            streams = asyncio.create_task(read(everywhere * 2))
            await eventually(partial(streams_at, ending[0]), within=PATIENCE, message="no stream at who ends")
            await asyncio.gather(*map(told_to_end, ending))
            await streams
            await load.more(AFTERWARDS)
            await asyncio.gather(*(replica.start() for replica in ending))


async def streams_at(chat: ServiceProcess) -> bool:
    """Say whether more turns run here than the short ones."""
    return await chat.metric("chat_turns_running") > FEW


@pytest.mark.chaos
async def test_kill_9_of_one_replica_after_the_other_fails_no_request_that_may_be_repeated(
    private_stack: SeparateStack, everywhere: list[UserClient]
) -> None:
    load = Load()
    async with load.running([ask for user in everywhere for ask in reads(user)]):
        for number in (0, 1):
            ending = [private_stack.chat[number], private_stack.history[number]]
            await asyncio.gather(*(processes.kill(replica.child, port=replica.port) for replica in ending))
            await load.more(AFTERWARDS)
            await asyncio.gather(*(replica.start() for replica in ending))
