"""Processes killed and stopped during their work: others continue, and nothing is lost or doubled."""

import asyncio
import contextlib
import itertools
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2
import pytest

from parley_testing import eventually
from parley_testing.backends.private_servers import PrivateBackends
from parley_testing.faults import processes
from parley_testing.faults.tcp_proxy import TcpProxy, Toxics
from parley_testing.http.client import UserClient, open_http
from parley_testing.stacks.relay_leader import leading_chat
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.workload.event_recorder import EventRecorder
from parley_testing.workload.turns import (
    AnsweredTurn,
    ResumingReader,
    continue_conversations,
    stored_exactly_once,
    take_turns,
)

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

SHORT = "short [[fake tokens=3]]"
STREAM = "stream [[fake tokens=30 rate=15]]"
ENDLESS = "stream [[fake endless rate=15]]"
TAKEOVER_TIMEOUT = 60.0
EXIT_TIMEOUT = 6.0 + 30.0
"""Seconds from SIGTERM to the exit: the drain timeout, and time to close on a busy machine."""


@pytest.fixture(autouse=True)
async def complete(private_stack: SeparateStack) -> AsyncIterator[None]:
    """Restart stopped processes after each test."""
    yield
    await asyncio.gather(*(r.start() for r in private_stack.everything if not r.child.running))


async def test_an_event_committed_but_not_acknowledged_is_redelivered_without_effect(
    private_backends: PrivateBackends, private_stack: SeparateStack, users: list[UserClient]
) -> None:
    worker, broker = private_stack.workers[0], private_backends.rabbitmq
    await worker.stop()
    async with TcpProxy("127.0.0.1", broker.port) as proxy:
        unacknowledging = worker.twin(
            "unacknowledging", AMQP_URL=broker.url.replace(f":{broker.port}/", f":{proxy.port}/")
        )
        await unacknowledging.start()
        async with proxy.with_toxics(Toxics(mute_clients=True)):
            turns = await take_turns(users, 10, SHORT)
            await stored_exactly_once(turns, within=TAKEOVER_TIMEOUT)
            assert proxy.counters.swallowed > 0, "no acknowledgement was swallowed"
            await processes.kill(unacknowledging.child, port=unacknowledging.admin_port)
            await unacknowledging.stop()
    await worker.start()
    unchanged = {"type": "conversation.turn.completed", "outcome": "unchanged"}

    async def came_again() -> bool:
        return await worker.metric("history_events_projected_total", **unchanged) >= len(turns)

    await eventually(came_again, within=TAKEOVER_TIMEOUT, message="no duplicate arrived: the fault did not bite")
    await stored_exactly_once(turns, within=TAKEOVER_TIMEOUT)


async def test_another_replica_publishes_after_the_leader_is_killed(
    private_stack: SeparateStack, users: list[UserClient], event_recorder: EventRecorder
) -> None:
    loop, killed = asyncio.get_running_loop(), await leading_chat(private_stack, within=TAKEOVER_TIMEOUT)
    survivor = next(replica for replica in private_stack.chat if replica is not killed)
    turns = await take_turns(users, 10, SHORT)
    await processes.kill(killed.child, port=killed.port)
    killed_at = loop.time()
    turns += await continue_conversations(turns, SHORT)
    assert await leading_chat(private_stack, within=TAKEOVER_TIMEOUT) is survivor
    await event_recorder.expect([turn.id for turn in turns], within=killed_at + TAKEOVER_TIMEOUT - loop.time())
    print(f"everything heard {loop.time() - killed_at:.1f} s after the kill")
    await stored_exactly_once(turns, within=TAKEOVER_TIMEOUT)


async def test_one_process_of_each_kind_stops_on_sigterm_and_no_stream_is_lost(
    private_stack: SeparateStack, users: list[UserClient]
) -> None:
    stack = private_stack
    ending = [group[0] for group in (stack.gateways, stack.chat, stack.history, stack.workers, stack.auth)]
    async with contextlib.AsyncExitStack() as opened:
        first, other = [await opened.enter_async_context(open_http(gateway.url)) for gateway in stack.gateways]
        streams = ReadStreams(users)
        # The gateway that ends must have a stream that only its end breaks: one whose chat stays.
        async with asyncio.timeout(TAKEOVER_TIMEOUT):
            while await stack.chat[1].metric("chat_turns_running") < 1:
                await streams.begin([first, other], ENDLESS)
        await asyncio.gather(*(streams.begin([other, first], ENDLESS) for _ in range(4)))
        await asyncio.gather(*(streams.begin(order, STREAM) for order in [[first, other], [other, first]] * 4))
        statuses = dict(zip([r.name for r in ending], await asyncio.gather(*map(terminate, ending)), strict=True))
        turns = await streams.end(other)

    assert set(statuses.values()) == {0}, statuses
    assert {turn.status for turn in turns[STREAM]} == {"completed"}
    assert {turn.status for turn in turns[ENDLESS]} <= {"incomplete", "cancelled"}
    assert sum(reader.broken for reader in streams.readers) > 0, "no stream went through the gateway that ended"
    assert sum(reader.refused for reader in streams.readers) == 0, "a chat was there all the time"
    everything = [*turns[STREAM], *turns[ENDLESS]]
    for turn in everything:
        assert turn.text.split() == [f"t{i}" for i in range(1, len(turn.text.split()) + 1)]
    await asyncio.gather(*(replica.start() for replica in ending))
    await stored_exactly_once(everything, within=TAKEOVER_TIMEOUT)


class ReadStreams:
    """Streams read while processes end."""

    def __init__(self, users: list[UserClient]) -> None:
        self._users = itertools.cycle(users)
        self.readers: list[ResumingReader] = []
        self._reading: dict[str, list[asyncio.Task[AnsweredTurn]]] = {}

    async def begin(self, order: list[httpx2.AsyncClient], message: str) -> None:
        """Take a turn and wait for its first text."""
        reader = ResumingReader(next(self._users), order)
        task = asyncio.create_task(reader.read(message))
        self.readers.append(reader)
        self._reading.setdefault(message, []).append(task)
        await eventually(lambda: reader.text or task.done(), within=TAKEOVER_TIMEOUT, message="no text")

    async def end(self, gateway: httpx2.AsyncClient) -> dict[str, list[AnsweredTurn]]:
        """Wait for the streams that end, and cancel the others at ``gateway``; return the turns by message."""
        await asyncio.gather(*self._reading.get(STREAM, []))
        for reader in self.readers:
            if not reader.status:
                path = f"/api/v1/chat/turns/{reader.turn_id}/cancel"
                assert (await replace(reader.user, http=gateway).request("POST", path)).is_success
        return {message: list(await asyncio.gather(*tasks)) for message, tasks in self._reading.items()}


async def terminate(replica: ServiceProcess) -> int | None:
    """Send SIGTERM; return the exit status."""
    replica.child.send(signal.SIGTERM)
    await eventually(lambda: not replica.child.running, within=EXIT_TIMEOUT, message=f"{replica.name} does not end")
    return replica.child.exit_status
