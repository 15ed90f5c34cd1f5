"""Faults of the matrix, as contexts: the fault took effect when the context is entered, and is over when it is left."""

import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from email.utils import parsedate_to_datetime
from pathlib import Path

from blackout.cells import CLOCKS, LONG, Cell, Fault, Victim
from blackout.replica_hosts import SERVICE, replicas_of
from blackout.rig import Rig
from blackout.server_faults import (
    answering,
    full_postgres,
    full_redis,
    paused_provider,
    refusing_postgres,
    refusing_rabbitmq,
    refusing_redis,
    stopped_provider,
)
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing.backends.postgres_standby import promote
from parley_testing.faults import processes
from parley_testing.http.client import open_http
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.waiting import eventually

HISTORY_QUEUE = "history.turns"
LATENCY: dict[Fault, float] = {"slow 200 ms": 0.2, "slow 2 s": 2.0}
"""Seconds that a host's link adds to a round trip."""
ELECTION_TIMEOUT = 30.0
CLOCK_TOLERANCE = 20.0
Broken = Callable[[Rig], AbstractAsyncContextManager[None]]

_OWN: dict[tuple[Victim, Fault], Broken] = {
    ("postgres", "full"): full_postgres,
    ("redis", "full"): full_redis,
    ("rabbitmq", "full"): lambda rig: rig.servers.memory_alarm(),
    ("provider", "full"): lambda rig: answering(rig, 429),
    ("postgres", "wrong password"): refusing_postgres,
    ("redis", "wrong password"): refusing_redis,
    ("rabbitmq", "wrong password"): refusing_rabbitmq,
    ("provider", "wrong password"): lambda rig: answering(rig, 401),
    ("provider", "stopped"): stopped_provider,
    ("provider", "paused"): paused_provider,
}
"""Faults of which each victim has its own kind."""


def broken(rig: Rig, cell: Cell) -> AbstractAsyncContextManager[None]:
    """Break what a cell breaks, in a context."""
    if own := _OWN.get((cell.victim, cell.fault)):
        return own(rig)
    if cell.fault == "failed over":
        return {"postgres": _failed_over_postgres, "redis": _failed_over_redis}.get(cell.victim, _lost_leader)(rig)
    if cell.fault in {"vanished", LONG}:
        return _vanished(rig, cell.victim)
    if cell.fault in CLOCKS:
        return _other_clock(rig, cell.victim, CLOCKS[cell.fault])
    if cell.fault in LATENCY:
        return _slow(rig, cell.victim, LATENCY[cell.fault])
    return _stopped(rig, cell.victim) if cell.fault == "stopped" else _paused(rig, cell.victim)


def _server(rig: Rig, victim: Victim) -> EmbeddedPostgres | EmbeddedValkey | EmbeddedRabbitMQ | ServiceProcess:
    servers = rig.servers
    found: dict[str, EmbeddedPostgres | EmbeddedValkey | EmbeddedRabbitMQ | ServiceProcess] = {
        "postgres": servers.postgres,
        "redis": servers.valkey,
        "rabbitmq": servers.rabbitmq,
        **replicas_of(rig.stack),
    }
    return found[victim]


@contextlib.asynccontextmanager
async def _stopped(rig: Rig, victim: Victim) -> AsyncIterator[None]:
    server, host = _server(rig, victim), rig.hosts.get(victim)
    async with contextlib.AsyncExitStack() as ended:
        if isinstance(server, ServiceProcess) and host:
            await ended.enter_async_context(host.refusing(SERVICE))
        await processes.crash(server, port=server.port)
        ended.push_async_callback(server.start)
        yield


@contextlib.asynccontextmanager
async def _paused(rig: Rig, victim: Victim) -> AsyncIterator[None]:
    server = _server(rig, victim)
    pausable = server.child if isinstance(server, ServiceProcess) else server
    pausable.freeze()
    try:
        await eventually(lambda: processes.state_of(server.child.pid) == "T", message=f"{victim} was not stopped")
        yield
    finally:
        pausable.resume()


@contextlib.asynccontextmanager
async def _vanished(rig: Rig, victim: Victim) -> AsyncIterator[None]:
    with rig.hosts[victim].lost():
        yield


@contextlib.asynccontextmanager
async def _slow(rig: Rig, victim: Victim, seconds: float) -> AsyncIterator[None]:
    host = rig.hosts[victim]
    async with host.delayed(seconds / 2):
        received = host.received
        await eventually(lambda: host.received > received, message=f"nothing was sent to {victim}")
        yield


def clock_library() -> str:
    """Return the path of libfaketime, or an empty text if this system has none."""
    found = [os.environ.get("FAKETIME_LIBRARY", ""), *map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))]
    return next((path for path in found if path and Path(path).exists()), "")


@contextlib.asynccontextmanager
async def _other_clock(rig: Rig, victim: Victim, seconds: int) -> AsyncIterator[None]:
    replica = replicas_of(rig.stack)[victim]
    settings = replica.settings
    clock = {"LD_PRELOAD": clock_library(), "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    await _restart(rig, victim, {**settings, **clock})
    try:
        difference = await _clock_of(replica) - time.time()
        assert abs(difference - seconds) < CLOCK_TOLERANCE, f"the clock of {victim} differs by {difference:.0f} s"
        yield
    finally:
        await _restart(rig, victim, settings)


async def _restart(rig: Rig, victim: Victim, settings: Mapping[str, str]) -> None:
    """Start a replica again; its host refuses connections until it is ready, as that of a stopped process does."""
    replica = replicas_of(rig.stack)[victim]
    async with rig.hosts[victim].refusing(SERVICE):
        replica.settings = settings
        await replica.start()


async def _clock_of(replica: ServiceProcess) -> float:
    async with open_http() as client:
        response = await client.get(f"{replica.admin_url}/status")
    return parsedate_to_datetime(response.headers["date"]).timestamp()


@contextlib.asynccontextmanager
async def _failed_over_postgres(rig: Rig) -> AsyncIterator[None]:
    """The primary is killed, and its standby is promoted at the end."""
    assert rig.standby is not None
    primary = rig.servers.postgres
    await processes.kill(primary.child, port=primary.port)
    yield
    await promote(rig.standby)


@contextlib.asynccontextmanager
async def _failed_over_redis(rig: Rig) -> AsyncIterator[None]:
    """The master is killed; the Sentinels promote the replica."""
    assert rig.sentinels is not None
    group, before = rig.sentinels, await rig.sentinels.master()
    await processes.crash(before, port=before.port)
    yield

    async def elected() -> bool:
        return await group.master() is not before

    await eventually(elected, within=ELECTION_TIMEOUT, message="the Sentinels elected no master")


@contextlib.asynccontextmanager
async def _lost_leader(rig: Rig) -> AsyncIterator[None]:
    """The node is killed that leads history's queue; another one is elected."""
    assert rig.cluster is not None
    node = await rig.cluster.leader(HISTORY_QUEUE)
    await processes.crash(node, port=node.port)
    yield
    assert await rig.cluster.leader(HISTORY_QUEUE) is not node, "no other node leads the queue"
