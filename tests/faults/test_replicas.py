"""One of two replicas ends under load: no request through a gateway fails."""

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
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.workload.turns import AnsweredTurn, ResumingReader, stored_exactly_once, take_turns

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

STREAM = "stream [[fake tokens=30 rate=15]]"
SHORT = "short [[fake tokens=1]]"
PAUSE = 0.1
"""Seconds between a response and the next request."""
RESPONSES_BEFORE, RESPONSES_AFTER = 160, 160
"""Responses before and after a replica ends."""
LOAD_TURNS = 2
"""Maximum turns of the load at one chat."""
STREAMS_PER_USER = 4
"""Twice as many at each chat as the load has turns, so that a stream is seen there however the load is spread."""
TIMEOUT = 30.0

Ask = Callable[[], Awaitable[httpx2.Response]]


class RequestLoad:
    """Sequential requests of several clients until it is stopped."""

    def __init__(self) -> None:
        self.answers, self.failures = 0, list[str]()
        self._enough = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self, asks: list[Ask]) -> AsyncIterator[None]:
        """Send requests in a context; assert that none failed."""
        async with asyncio.TaskGroup() as group:
            for ask in asks:
                group.create_task(self._keep_asking(ask))
            try:
                await self.more(RESPONSES_BEFORE)
                yield
                await self.more(RESPONSES_AFTER)
            finally:
                self._enough.set()
        assert not self.failures, f"{len(self.failures)} of {self.answers}: {self.failures[:5]}"

    async def more(self, count: int) -> None:
        """Wait for this many responses."""
        wanted = self.answers + count
        await eventually(lambda: self.answers >= wanted or self.failures, within=TIMEOUT, message="no answers")

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
    """The users, distributed over the gateways."""
    async with contextlib.AsyncExitStack() as opened:
        doors = [await opened.enter_async_context(open_http(gateway.url)) for gateway in private_stack.gateways]
        yield [replace(user, http=door) for user, door in zip(users, itertools.cycle(doors), strict=False)]


@pytest.fixture(autouse=True)
async def complete(private_stack: SeparateStack) -> AsyncIterator[None]:
    """Restart stopped processes after each test."""
    yield
    await asyncio.gather(*(r.start() for r in private_stack.everything if not r.child.running))


def reads(user: UserClient) -> list[Ask]:
    """Requests to chat and history that may be repeated."""
    return [partial(user.request, "GET", path) for path in ("/api/v1/chat/turns", "/api/v1/conversations")]


def writes(user: UserClient, conversation: str) -> list[Ask]:
    """Requests to chat and history that may not be repeated."""
    path = f"/api/v1/conversations/{conversation}"
    return [
        partial(user.request, "POST", "/api/v1/chat", json={"message": SHORT}),
        partial(user.request, "PATCH", path, json={"title": "another"}),
    ]


async def terminate(replica: ServiceProcess) -> None:
    replica.child.send(signal.SIGTERM)
    await eventually(lambda: not replica.child.running, within=TIMEOUT, message=f"{replica.name} does not end")
    assert replica.child.exit_status == 0


async def read(users: list[UserClient]) -> list[ResumingReader]:
    """Read one stream each; assert that none breaks."""
    readers = [ResumingReader(user, [user.http]) for user in users]
    turns: list[AnsweredTurn] = await asyncio.gather(*(reader.read(STREAM) for reader in readers))
    assert {turn.status for turn in turns} == {"completed"}
    assert [(reader.broken, reader.refused) for reader in readers] == [(0, 0)] * len(readers), "a stream was cut"
    await stored_exactly_once(turns, within=TIMEOUT)
    return readers


async def test_sigterm_of_replicas_in_turn_fails_no_request_and_breaks_no_stream(
    private_stack: SeparateStack, everywhere: list[UserClient]
) -> None:
    turns = await take_turns(everywhere, len(everywhere), SHORT)
    await stored_exactly_once(turns, within=TIMEOUT)
    asks = [ask for turn in turns for ask in (*reads(turn.user), *writes(turn.user, turn.conversation))]
    load = RequestLoad()
    async with load.running(asks):
        for number in (0, 1):
            ending = [private_stack.chat[number], private_stack.history[number]]
            streams = asyncio.create_task(read(everywhere * STREAMS_PER_USER))
            await eventually(partial(streams_at, ending[0]), within=TIMEOUT, message="no stream at the ending chat")
            await asyncio.gather(*map(terminate, ending))
            await streams
            await load.more(RESPONSES_AFTER)
            await asyncio.gather(*(replica.start() for replica in ending))


async def streams_at(chat: ServiceProcess) -> bool:
    """Return whether streamed turns run here besides those of the load."""
    return await chat.metric("chat_turns_running") > LOAD_TURNS


async def test_sigkill_of_replicas_in_turn_fails_no_repeatable_request(
    private_stack: SeparateStack, everywhere: list[UserClient]
) -> None:
    load = RequestLoad()
    async with load.running([ask for user in everywhere for ask in reads(user)]):
        for number in (0, 1):
            ending = [private_stack.chat[number], private_stack.history[number]]
            await asyncio.gather(*(processes.kill(replica.child, port=replica.port) for replica in ending))
            await load.more(RESPONSES_AFTER)
            await asyncio.gather(*(replica.start() for replica in ending))
