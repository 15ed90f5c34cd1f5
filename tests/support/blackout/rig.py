"""The product with everything that a cell can break."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from blackout.cells import FAILOVERS, REPLICAS, Cell, Victim
from blackout.replica_hosts import SERVICE, open_replica_hosts
from fake_provider.process import FakeProvider
from parley_testing.backends.postgres_standby import Standby, standby_of, url_of_writer
from parley_testing.backends.private_servers import PrivateBackends, open_private_backends
from parley_testing.backends.rabbitmq_cluster import RabbitCluster, open_cluster
from parley_testing.backends.redis_sentinels import SentinelGroup, open_sentinel_group
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.backends.urls import BackendUrls
from parley_testing.faults.lost_host import LostHost
from parley_testing.http.client import UserClient, open_http
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.workload.turns import open_users, stored_exactly_once, take_turns

USERS, REPLICAS_OF_EACH = 4, 2
POSTGRES_BYTES = 1_200_000_000
"""Size of the disk of Postgres, which a cell fills."""
SETTINGS = {
    "RATE_LIMIT_REQUESTS": "100000",
    "RATE_LIMIT_BURST": "10000",
    "ANONYMOUS_RATE_LIMIT": "100000",
    "RATE_LIMIT_PATIENCE": "0.25",
    "STREAMS_PER_USER": "100",
    "OPENAI_TIMEOUT": "20",
    "TURN_TIMEOUT": "900",
    "RECONCILE_INTERVAL": "5",
}
SETTLE_TIMEOUT = 90.0
SOAK = "soak"
"""The rig of ``make soak``: all dependencies behind hosts, except Redis, which has Sentinels."""
REPLICATED: dict[str, Victim] = {**{f"replicated {victim}": victim for victim in FAILOVERS}, SOAK: "redis"}
"""The dependency that can fail over, by rig."""
WARM_UP = "warm up [[fake tokens=2]]"


@dataclass
class Rig:
    """Servers, hosts, services and users."""

    servers: PrivateBackends
    provider: FakeProvider
    stack: SeparateStack
    users: list[UserClient]
    gateways: list[httpx2.AsyncClient]
    """Clients of the gateways in the order of use."""
    hosts: dict[str, LostHost] = field(default_factory=dict)
    standby: Standby | None = None
    sentinels: SentinelGroup | None = None
    cluster: RabbitCluster | None = None

    @property
    def disk(self) -> Path:
        """A folder on the disk of Postgres."""
        return self.servers.postgres.data_dir


def layout(cell: Cell) -> str:
    """Return the name of the rig that a cell needs: several cells can share one."""
    if cell.fault == "failed over":
        return f"replicated {cell.victim}"
    return "replicas" if cell.victim in REPLICAS else "dependencies"


@contextlib.asynccontextmanager
async def open_rig(folder: Path, needed: str) -> AsyncIterator[Rig]:
    """Start everything below ``folder``; ``needed`` comes from ``layout``."""
    async with contextlib.AsyncExitStack() as opened:
        shared = await opened.enter_async_context(SharedBackends())
        opened.callback(_unmount, _mount(folder / "postgres"))
        servers = await opened.enter_async_context(open_private_backends(folder, shared))
        provider = await opened.enter_async_context(FakeProvider())
        rig = Rig(servers, provider, SeparateStack(folder, servers.urls, provider.base_url), [], [])
        urls, provider_url, settings = servers.urls, provider.base_url, dict(SETTINGS)
        if needed in {"dependencies", SOAK}:
            for number, (name, port) in enumerate(_ports(servers, provider).items(), 1):
                rig.hosts[name] = await opened.enter_async_context(LostHost(number, {name: port}))
            urls, provider_url = _behind_hosts(rig)
        if victim := REPLICATED.get(needed):
            urls = await _replicate(rig, urls, victim, folder, shared, opened)
            settings["QUEUE_TYPE"] = "quorum" if rig.cluster else "classic"
        rig.stack = SeparateStack(folder / "stack", urls, provider_url, replicas=REPLICAS_OF_EACH, settings=settings)
        await opened.enter_async_context(rig.stack)
        doors = [gateway.url for gateway in rig.stack.gateways]
        if needed == "replicas":
            found = open_replica_hosts(rig.stack, _ports(servers, provider))
            rig.hosts = await opened.enter_async_context(found)
            doors[0] = f"http://{rig.hosts['gateway'].address(SERVICE)}"
        rig.gateways = [await opened.enter_async_context(open_http(door)) for door in doors]
        users = await opened.enter_async_context(open_users(rig.stack, USERS))
        # Requests that are no streams go to the gateway that no cell breaks.
        rig.users = [replace(user, http=rig.gateways[1]) for user in users]
        await stored_exactly_once(await take_turns(rig.users, USERS, WARM_UP), within=SETTLE_TIMEOUT)
        await asyncio.sleep(2)  # RabbitMQ 3.10 loses a new queue when it is killed at once
        yield rig


def _mount(folder: Path) -> Path:
    """Make a folder a small disk of its own, in the namespace of this program, and return it."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={POSTGRES_BYTES}", "tmpfs", str(folder)], check=True)
    return folder


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _ports(servers: PrivateBackends, provider: FakeProvider) -> dict[str, int]:
    port = urlsplit(provider.base_url).port
    assert port is not None
    found = {"redis": servers.valkey.port, "postgres": servers.postgres.port, "rabbitmq": servers.rabbitmq.port}
    return {**found, "provider": port}


def _behind_hosts(rig: Rig) -> tuple[BackendUrls, str]:
    urls, hosts = rig.servers.urls, rig.hosts
    moved = BackendUrls(
        hosts["postgres"].moved(urls.database_admin_url, "postgres"),
        hosts["redis"].moved(urls.redis_url, "redis"),
        hosts["rabbitmq"].moved(urls.amqp_url, "rabbitmq"),
    )
    return moved, hosts["provider"].moved(rig.provider.base_url, "provider")


async def _replicate(
    rig: Rig, urls: BackendUrls, victim: Victim, folder: Path, shared: SharedBackends, opened: contextlib.AsyncExitStack
) -> BackendUrls:
    """Start what takes over from one dependency, and return the URLs with it."""
    if victim == "postgres":
        primary = rig.servers.postgres
        rig.standby = await opened.enter_async_context(standby_of(primary, folder))
        return replace(urls, database_admin_url=url_of_writer(urls.database_admin_url, primary, rig.standby))
    if victim == "redis":
        rig.sentinels = await opened.enter_async_context(open_sentinel_group(folder))
        return replace(urls, redis_url=rig.sentinels.url)
    rig.cluster = await opened.enter_async_context(open_cluster(await shared.rabbitmq_root(), folder))
    return replace(urls, amqp_url=rig.cluster.url)
