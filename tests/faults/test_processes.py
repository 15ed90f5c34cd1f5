"""Processes killed and stopped in the middle of their work: somebody else goes on, nothing is lost or doubled."""

import asyncio
import contextlib
import itertools
import signal
from collections.abc import AsyncIterator

import pytest

from parley.testing import eventually, faults
from parley.testing.client import Client, open_http
from parley.testing.listener import Listener
from parley.testing.private_servers import PrivateServers
from parley.testing.sessions import relay_leader
from parley.testing.stacks import Replica, SeparateStack
from parley.testing.tcp_proxy import TcpProxy, Toxics
from parley.testing.turns import Reader, Turn, go_on, stored_exactly_once, take_turns

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

SHORT = "short [[fake tokens=3]]"
STREAM = "stream [[fake tokens=30 rate=15]]"
LONG_STREAM = "stream [[fake tokens=120 rate=15]]"
TAKEN_OVER = 15.0
EXITED = 6.0 + 10.0
"""Seconds from SIGTERM to the exit: the drain's budget, and what a busy machine needs to close."""


@pytest.fixture(autouse=True)
async def complete(private_stack: SeparateStack) -> AsyncIterator[None]:
    """Leave every replica running behind, whatever happened."""
    yield
    await asyncio.gather(*(r.start() for r in private_stack.everything if not r.child.running))


async def leader(stack: SeparateStack) -> Replica:
    """Return the chat replica whose relay publishes."""
    url = stack.database_url("chat")

    async def found() -> Replica | None:
        pid = await relay_leader(url)
        return next((replica for replica in stack.chat if replica.child.pid == pid), None)

    replica: Replica = await eventually(found, within=TAKEN_OVER, message="no chat leads")
    return replica


async def test_what_a_worker_committed_but_never_acknowledged_comes_again_and_changes_nothing(
    private_servers: PrivateServers, private_stack: SeparateStack, users: list[Client]
) -> None:
    worker, broker = private_stack.workers[0], private_servers.rabbitmq
    await worker.stop()
    async with TcpProxy("127.0.0.1", broker.port) as proxy:
        doomed = worker.twin("doomed", AMQP_URL=broker.url.replace(f":{broker.port}/", f":{proxy.port}/"))
        await doomed.start()
        async with proxy.with_toxics(Toxics(mute_clients=True)):
            turns = await take_turns(users, 10, SHORT)
            await stored_exactly_once(turns, within=TAKEN_OVER)
            assert proxy.counters.swallowed > 0, "no acknowledgement was swallowed"
            await faults.kill(doomed.child, port=doomed.admin_port)
            await doomed.stop()
    await worker.start()
    unchanged = {"type": "conversation.turn.completed", "outcome": "unchanged"}

    async def came_again() -> bool:
        return await worker.metric("history_events_projected_total", **unchanged) >= len(turns)

    await eventually(came_again, within=TAKEN_OVER, message="no duplicate arrived: the fault did not bite")
    await stored_exactly_once(turns, within=TAKEN_OVER)


async def test_another_replica_publishes_when_the_relays_leader_is_killed(
    private_stack: SeparateStack, users: list[Client], eavesdropper: Listener
) -> None:
    loop, killed = asyncio.get_running_loop(), await leader(private_stack)
    survivor = next(replica for replica in private_stack.chat if replica is not killed)
    turns = await take_turns(users, 10, SHORT)
    await faults.kill(killed.child, port=killed.port)
    killed_at = loop.time()
    turns += await go_on(turns, SHORT)
    assert await leader(private_stack) is survivor
    await eavesdropper.expect([turn.id for turn in turns], within=killed_at + TAKEN_OVER - loop.time())
    print(f"everything heard {loop.time() - killed_at:.1f} s after the kill")
    await stored_exactly_once(turns, within=TAKEN_OVER)


async def test_one_of_each_kind_ends_in_order_when_told_to_and_no_stream_is_lost(
    private_stack: SeparateStack, users: list[Client]
) -> None:
    stack = private_stack
    ending = [group[0] for group in (stack.gateways, stack.chat, stack.history, stack.workers, stack.auth)]
    async with contextlib.AsyncExitStack() as opened:
        everywhere = [await opened.enter_async_context(open_http(gateway.url)) for gateway in stack.gateways]
        orders = itertools.cycle([everywhere, everywhere[::-1]])
        readers = [Reader(user, order) for user, order in zip(users * 4, orders, strict=False)]
        short = [asyncio.create_task(reader.read(STREAM)) for reader in readers[:8]]
        long = [asyncio.create_task(reader.read(LONG_STREAM)) for reader in readers[8:]]
        await eventually(lambda: under_way(readers, [*short, *long]), within=TAKEN_OVER)
        statuses = dict(zip([r.name for r in ending], await asyncio.gather(*map(told_to_end, ending)), strict=True))
        ended, interrupted = await asyncio.gather(*short), await asyncio.gather(*long)

    assert set(statuses.values()) == {0}, statuses
    assert {turn.status for turn in ended} == {"completed"}
    assert {turn.status for turn in interrupted} == {"completed", "incomplete"}
    assert sum(reader.broken for reader in readers) > 0, "no stream went through the gateway that ended"
    for turn in [*ended, *interrupted]:
        assert turn.text.split() == [f"t{i}" for i in range(1, len(turn.text.split()) + 1)]
    await asyncio.gather(*(replica.start() for replica in ending))
    await stored_exactly_once([*ended, *interrupted], within=TAKEN_OVER)


def under_way(readers: list[Reader], reading: list[asyncio.Task[Turn]]) -> bool:
    """Say whether every reader has seen text; raises what ended one before."""
    for task in reading:
        if task.done():
            task.result()
    return all(reader.text for reader in readers)


async def told_to_end(replica: Replica) -> int | None:
    """Send SIGTERM; return the exit status."""
    replica.child.send(signal.SIGTERM)
    await eventually(lambda: not replica.child.running, within=EXITED, message=f"{replica.name} does not end")
    return replica.child.exit_status
