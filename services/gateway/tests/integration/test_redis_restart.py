"""A crash and restart of Redis under load, with two gateway processes."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from gateway_testing.process import GatewayProcess, RunGatewayProcess
from parley_embedded.sockets import free_port
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing import eventually
from parley_testing.faults import processes
from parley_testing.http.client import open_http
from parley_testing.http.scripted_server import respond

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

BURST, RATE = 10, 2.0
DOWN = 1.5
PAUSE = 0.04
"""Seconds between two requests of a client: the clients of a user ask far more often than the rate allows."""
USERS, CLIENTS = 3, 12


async def decided_locally(first_port: int, expected: set[bool]) -> bool:
    """Return whether the limits are local in both gateway processes, in none, or differ, as ``expected``."""
    async with open_http() as client:
        pages = [(await client.get(f"http://127.0.0.1:{port}/metrics")).text for port in (first_port, first_port + 1)]
    return {"gateway_ratelimit_local 1.0" in page for page in pages} == expected


@dataclass
class LimitedClients:
    """Clients that send requests of a few users, and the status codes of each user."""

    gateway: GatewayProcess
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[Counter[int]] = field(default_factory=lambda: [Counter() for _ in range(USERS)])

    async def run(self) -> None:
        users = [self.gateway.bearer() for _ in range(USERS)]
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._client(users[number % USERS], self.seen[number % USERS]))

    async def _client(self, headers: dict[str, str], seen: Counter[int]) -> None:
        async with self.gateway.client() as client:
            while not self.stop.is_set():
                seen[(await client.get("/api/v1/models", headers=headers)).status_code] += 1
                await asyncio.sleep(PAUSE)

    def admitted(self) -> list[int]:
        return [statuses[200] for statuses in self.seen]


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "valkey", tcp=True)
    await server.start()
    yield server
    await server.stop()


async def test_a_redis_crash_fails_no_request_and_the_limits_are_shared_until_it_returns(
    run_process: RunGatewayProcess, redis: EmbeddedValkey
) -> None:
    admin_port = free_port()
    settings = {
        "WORKERS": 2,
        "ADMIN_PORT": admin_port,
        "REDIS_URL": redis.url,
        "RATE_LIMIT_REQUESTS": int(RATE * 60),
        "RATE_LIMIT_BURST": BURST,
        "RATE_LIMIT_PATIENCE": 1,
    }
    async with run_process(respond(), **settings) as gateway:
        load, started = LimitedClients(gateway), time.monotonic()
        running = asyncio.create_task(load.run())
        await eventually(lambda: all(statuses[429] > 20 for statuses in load.seen), within=20)
        crashed = time.monotonic()
        await processes.crash(redis, port=redis.port)
        await eventually(partial(decided_locally, admin_port, {True}), within=20)
        await asyncio.sleep(DOWN)
        await redis.start()
        await eventually(partial(decided_locally, admin_port, {False}), within=20)
        recovered, before = time.monotonic(), load.admitted()
        await asyncio.sleep(DOWN)
        load.stop.set()
        await running
        ended = time.monotonic()

    assert all(set(statuses) == {200, 429} for statuses in load.seen), load.seen
    for admitted, until_recovery in zip(load.admitted(), before, strict=True):
        # During the outage, the shares of both processes admit at most one burst and the rate in addition.
        exact, local = BURST + RATE * (ended - started), BURST + RATE * (recovered - crashed)
        assert admitted <= exact + local + 2
        # Afterwards, both processes together admit one burst and the rate again.
        assert admitted - until_recovery <= BURST + RATE * (ended - recovered) + 2
