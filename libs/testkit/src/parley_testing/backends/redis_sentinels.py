"""Redis master with a replica, and three Sentinels that make the replica the master when the master is gone."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from parley.storage.redis import open_redis
from parley_embedded.base_server import EmbeddedServer
from parley_embedded.process.child import ServerCommand
from parley_embedded.process.environment import child_environment
from parley_embedded.secret_files import read_or_create_secret
from parley_embedded.sockets import accepts_connections, free_port
from parley_embedded.valkey.program import find_valkey
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing.waiting import eventually

SERVICE = "parley"
SENTINELS, QUORUM = 3, 2
DOWN_AFTER_MS, FAILOVER_TIMEOUT_MS = 1000, 5000
SETUP_TIMEOUT, CALL_TIMEOUT = 60.0, 5.0
CREDENTIALS = "password"
"""File with the password, in the folder of each server."""


class Sentinel(EmbeddedServer):
    """One Sentinel, which watches a master."""

    def __init__(self, data_dir: Path, master: EmbeddedValkey) -> None:
        super().__init__(data_dir)
        self.port, self._master = free_port(), master

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}"

    async def prepare(self) -> ServerCommand:
        """Write the configuration, which the Sentinel changes while it runs."""
        password = read_or_create_secret(self._master.data_dir / CREDENTIALS)
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f'dir "{self.data_dir}"',
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._master.port} {QUORUM}",
            f"sentinel auth-pass {SERVICE} {password}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT_MS}",
        ]
        configuration = self.data_dir / "sentinel.conf"
        configuration.write_text("\n".join(lines) + "\n")
        return ServerCommand(
            name="Sentinel",
            arguments=[str(find_valkey()), str(configuration), "--sentinel"],
            folder=self.data_dir,
            environment=child_environment(),
        )

    async def is_ready(self) -> bool:
        """Return whether it listens."""
        return await accepts_connections(self.port)

    async def master_port(self) -> int:
        """Return the port of the master that this Sentinel knows."""
        found = await self._ask("GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(found[1])

    async def knows_all(self) -> bool:
        """Return whether it knows the replica and the other Sentinels, without which there is no failover."""
        replicas, others = await self._ask("REPLICAS", SERVICE), await self._ask("SENTINELS", SERVICE)
        return len(replicas) == 1 and len(others) == SENTINELS - 1

    async def _ask(self, *words: str) -> list[bytes]:
        async with open_redis(self.url, timeout=CALL_TIMEOUT) as client:
            return list(await client.execute_command("SENTINEL", *words))  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class SentinelGroup:
    """Two servers and their Sentinels."""

    servers: tuple[EmbeddedValkey, EmbeddedValkey]
    sentinels: tuple[Sentinel, ...]

    @property
    def url(self) -> str:
        """The URL with which the product finds the master."""
        password = read_or_create_secret(self.servers[0].data_dir / CREDENTIALS)
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:{password}@{hosts}/{SERVICE}/0"

    async def master(self) -> EmbeddedValkey:
        """Return the server that most Sentinels call the master."""
        ports = sorted([await sentinel.master_port() for sentinel in self.sentinels])
        return next(server for server in self.servers if server.port == ports[len(ports) // 2])


@contextlib.asynccontextmanager
async def open_sentinel_group(folder: Path) -> AsyncIterator[SentinelGroup]:
    """Run the servers and Sentinels in a context; they are ready for a failover."""
    folders = folder / "redis-1", folder / "redis-2"
    for each in folders:
        each.mkdir(parents=True, mode=0o700)
    authentication = f"masterauth {read_or_create_secret(folders[0] / CREDENTIALS)}"
    shutil.copy(folders[0] / CREDENTIALS, folders[1] / CREDENTIALS)
    first = EmbeddedValkey(folders[0], tcp=True, directives=[authentication])
    second = EmbeddedValkey(folders[1], tcp=True, directives=[authentication, f"replicaof 127.0.0.1 {first.port}"])
    sentinels = tuple(Sentinel(folder / f"sentinel-{number}", first) for number in range(1, SENTINELS + 1))
    async with contextlib.AsyncExitStack() as opened:
        for server in (first, second, *sentinels):
            await opened.enter_async_context(server)
        for sentinel in sentinels:
            await eventually(sentinel.knows_all, within=SETUP_TIMEOUT, message="a Sentinel does not know the others")
        yield SentinelGroup((first, second), sentinels)
