"""Hosts that vanish: for a minute, no packet of one dependency or one replica arrives, and nothing is refused.

Run by ``test_lost_hosts.py`` in a network namespace of its own.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from fake_provider.process import FakeProvider
from parley_testing import eventually
from parley_testing.backends.private import PrivateBackends
from parley_testing.backends.urls import BackendUrls
from parley_testing.faults.lost_host import LostHost
from parley_testing.faults.processes import resident_bytes
from parley_testing.http.client import UserClient, open_http
from parley_testing.stacks.separate import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.workload.turns import ResumingReader, open_users, stored_exactly_once, take_turns

OUTAGE = 60.0
"""Longer than keepalive probes and TCP_USER_TIMEOUT take to end a connection."""
RECOVERY_TIMEOUT = 15.0
"""Seconds in which everything works again after packets arrive."""
SETTLE_TIMEOUT = 60.0
STREAM = "stream [[fake tokens=140 rate=2]]"
"""A stream that is longer than the outage."""
SHORT = "short [[fake tokens=2]]"
USERS, STREAMS = 4, 8
MAX_GROWTH = 64 * 1024 * 1024
"""Bytes by which the resident memory of a process may grow during an outage."""
SAMPLE_INTERVAL = 1.0
SECRET_URLS = {"database_url": "postgres", "redis_url": "redis", "amqp_url": "rabbitmq"}
"""Ends of the names of secrets, and the dependencies that they address."""
PROVIDER_URL = "OPENAI_BASE_URL"
DEPENDENCIES = {"redis": "redis", "postgres": "postgres", "rabbitmq": "bus"}
"""Names of hosts, and of dependencies in ``/status``."""


@pytest.fixture(scope="module")
async def hosts(private_backends: PrivateBackends, provider: FakeProvider) -> AsyncIterator[dict[str, LostHost]]:
    """A host for each dependency."""
    async with contextlib.AsyncExitStack() as opened:
        yield {
            name: await opened.enter_async_context(LostHost(number, {name: port}))
            for number, (name, port) in enumerate(ports_of(private_backends, provider).items(), 1)
        }


@pytest.fixture(scope="module")
async def stack(
    hosts: dict[str, LostHost],
    private_backends: PrivateBackends,
    provider: FakeProvider,
    high_limits: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[SeparateStack]:
    """The separate profile, which reaches each dependency at a host of its own."""
    urls = private_backends.urls
    moved = BackendUrls(
        hosts["postgres"].moved(urls.database_admin_url, "postgres"),
        hosts["redis"].moved(urls.redis_url, "redis"),
        hosts["rabbitmq"].moved(urls.amqp_url, "rabbitmq"),
    )
    provider_url = hosts["provider"].moved(provider.base_url, "provider")
    settings = {**high_limits, "OPENAI_TIMEOUT": "20", "RATE_LIMIT_PATIENCE": "0.25"}
    folder = tmp_path_factory.mktemp("stack")
    async with SeparateStack(folder, moved, provider_url, replicas=2, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
async def replica_hosts(
    stack: SeparateStack, private_backends: PrivateBackends, provider: FakeProvider
) -> AsyncIterator[dict[str, LostHost]]:
    """A host for one replica of each service: others reach it there, and it reaches its dependencies from there."""
    replicas = {"auth": stack.auth[0], "history": stack.history[0], "chat": stack.chat[0], "gateway": stack.gateways[0]}
    dependencies = ports_of(private_backends, provider)
    async with contextlib.AsyncExitStack() as opened:
        found = {
            name: await opened.enter_async_context(LostHost(number, {"service": replica.port, **dependencies}))
            for number, (name, replica) in enumerate(replicas.items(), 1 + len(dependencies))
        }
        for name, replica in replicas.items():
            replica.settings = uplinks(replica, found[name])
        for process in stack.everything:
            process.settings = {
                key: moved_replicas(value, replicas, found) if key.endswith("_URL") else value
                for key, value in process.settings.items()
            }
            await process.start()
        yield found


def ports_of(backends: PrivateBackends, provider: FakeProvider) -> dict[str, int]:
    """Return the ports of the dependencies by name."""
    port = urlsplit(provider.base_url).port
    assert port is not None
    servers = {"redis": backends.valkey.port, "postgres": backends.postgres.port, "rabbitmq": backends.rabbitmq.port}
    return {**servers, "provider": port}


def uplinks(replica: ServiceProcess, host: LostHost) -> dict[str, str]:
    """Return the settings of a replica with its dependencies at its own host."""
    folder = Path(replica.settings["SECRETS_DIR"])
    own = folder.with_name(f"{replica.name}-own-secrets")
    own.mkdir()
    for secret in folder.iterdir():
        text = secret.read_text()
        service = next((name for end, name in SECRET_URLS.items() if secret.name.endswith(end)), None)
        (own / secret.name).write_text(host.moved(text, service) if service else text)
    settings = {**replica.settings, "SECRETS_DIR": str(own)}
    if PROVIDER_URL in settings:
        settings[PROVIDER_URL] = host.moved(settings[PROVIDER_URL], "provider")
    return settings


def moved_replicas(urls: str, replicas: dict[str, ServiceProcess], hosts: dict[str, LostHost]) -> str:
    """Replace the addresses of replicas by those of their hosts."""
    for name, replica in replicas.items():
        urls = urls.replace(replica.url, f"http://{hosts[name].address('service')}")
    return urls


@pytest.fixture(scope="module")
async def registered_users(stack: SeparateStack) -> AsyncIterator[list[UserClient]]:
    async with open_users(stack, USERS) as found:
        await stored_exactly_once(await take_turns(found, USERS, SHORT), within=SETTLE_TIMEOUT)
        yield found


@pytest.fixture(scope="module")
async def gateways(stack: SeparateStack) -> AsyncIterator[list[httpx2.AsyncClient]]:
    async with contextlib.AsyncExitStack() as opened:
        yield [await opened.enter_async_context(open_http(gateway.url)) for gateway in stack.gateways]


@pytest.mark.parametrize("victim", ["redis", "rabbitmq", "postgres", "provider"])
async def test_streams_go_on_and_no_turn_is_lost(
    victim: str,
    hosts: dict[str, LostHost],
    stack: SeparateStack,
    users: list[UserClient],
    gateways: list[httpx2.AsyncClient],
) -> None:
    await assert_survival(victim, hosts[victim], stack, users, gateways)


@pytest.mark.parametrize("victim", ["chat", "history", "auth", "gateway"])
async def test_other_replicas_take_over(
    victim: str, replica_hosts: dict[str, LostHost], stack: SeparateStack, users: list[UserClient]
) -> None:
    lost = f"http://{replica_hosts['gateway'].address('service')}"
    async with open_http(lost) as first, open_http(stack.gateways[1].url) as second:
        doors = [first, second]
        moved = [replace(user, http=second) for user in users]
        await assert_survival(victim, replica_hosts[victim], stack, moved, doors)


async def assert_survival(
    victim: str,
    host: LostHost,
    stack: SeparateStack,
    users: list[UserClient],
    gateways: list[httpx2.AsyncClient],
) -> None:
    readers = [
        ResumingReader(
            users[i % len(users)], gateways[i % 2 :] + gateways[: i % 2], retry_timeout=OUTAGE + SETTLE_TIMEOUT
        )
        for i in range(STREAMS)
    ]
    reading = [asyncio.create_task(reader.read(STREAM)) for reader in readers]
    await eventually(lambda: all(reader.text for reader in readers), within=SETTLE_TIMEOUT)
    before = memory_of(stack)
    with host.lost():
        await asyncio.sleep(SAMPLE_INTERVAL)  # bytes that had arrived
        received = host.received
        growth = await watch_memory(stack, before, OUTAGE)
        if victim in DEPENDENCIES:
            assert await stack.chat[0].dependency(DEPENDENCIES[victim]) == "down"
        assert host.received == received, "the host was not lost"
    began = time.monotonic()
    recovered = await recover(victim, stack, users)
    turns = await asyncio.gather(*reading)
    statuses = [turn.status for turn in turns]
    print(
        f"{victim}: {statuses}, broken {sum(r.broken for r in readers)} times, most growth {growth >> 20} MiB, "
        f"works again after {recovered - began:.1f} s"
    )
    assert growth < MAX_GROWTH
    cut_short = {"incomplete"} if victim in {"provider", "chat"} else set()
    assert set(statuses) <= {"completed"} | cut_short
    await stored_exactly_once(turns, within=SETTLE_TIMEOUT)


async def watch_memory(stack: SeparateStack, before: dict[str, int], seconds: float) -> int:
    """Return the largest growth of a process during some seconds; assert that all processes live on."""
    pids = {process.name: process.child.pid for process in stack.everything}
    largest, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(SAMPLE_INTERVAL)
        now = memory_of(stack)
        largest = max(largest, *(now[name] - before[name] for name in before))
        assert largest < 4 * MAX_GROWTH, f"memory grows: {now}"
    assert {process.name: process.child.pid for process in stack.everything} == pids
    assert all(process.child.running for process in stack.everything)
    return largest


def memory_of(stack: SeparateStack) -> dict[str, int]:
    """Return the resident bytes of each process."""
    return {process.name: resident_bytes(process.child.pid) for process in stack.everything}


async def recover(victim: str, stack: SeparateStack, users: list[UserClient]) -> float:
    """Wait until every process reaches the dependency and a turn completes; return the time at which it did."""
    deadline = time.monotonic() + RECOVERY_TIMEOUT
    if victim in DEPENDENCIES:
        for process in stack.everything:
            if victim != "redis" and process in stack.gateways:
                continue
            left = max(0.1, deadline - time.monotonic())
            await eventually(partial(is_up, process, DEPENDENCIES[victim]), within=left, message=process.name)
    left = max(0.1, deadline - time.monotonic())
    await eventually(lambda: takes_turns(users[0]), within=left, message="no turn completes")
    return time.monotonic()


async def is_up(process: ServiceProcess, dependency: str) -> bool:
    return await process.dependency(dependency) == "up"


async def takes_turns(user: UserClient) -> bool:
    try:
        response = await user.request("POST", "/api/v1/chat", json={"message": SHORT})
    except httpx2.TransportError:
        return False
    return response.status_code == httpx2.codes.OK and response.json()["status"] == "completed"
