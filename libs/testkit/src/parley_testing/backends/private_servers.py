"""Servers that tests may kill, freeze, fill and wipe; their ports stay the same after a restart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from parley_embedded.postgres.server import EmbeddedPostgres
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.backends.urls import BackendUrls
from parley_testing.faults import processes
from parley_testing.waiting import eventually

MAX_CONNECTIONS = 200
MEMORY_LIMIT = "400MB"
ALARM_TIMEOUT = 15.0


@dataclass(frozen=True, slots=True)
class PrivateBackends:
    """PostgreSQL, Valkey and RabbitMQ for tests that break them."""

    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    rabbitmq: EmbeddedRabbitMQ

    @property
    def urls(self) -> BackendUrls:
        """The addresses for a stack."""
        return BackendUrls(self.postgres.url, self.valkey.url, self.rabbitmq.url)

    async def kill_broker(self) -> None:
        """Kill RabbitMQ; assert that it has ended."""
        await processes.crash(self.rabbitmq, port=self.rabbitmq.port)

    async def wipe_broker(self) -> None:
        """Delete the data of the killed RabbitMQ; assert that there was some."""
        data = self.rabbitmq.data_dir / "mnesia"
        assert data.is_dir(), "RabbitMQ had no data to lose"
        await self.rabbitmq.wipe()
        assert not data.exists(), "RabbitMQ's data is still there"

    async def start_broker(self) -> float:
        """Start RabbitMQ; return the loop's time at which its port opened."""
        opened = asyncio.create_task(self._port_opened())
        try:
            await self.rabbitmq.start()
            return await opened
        finally:
            opened.cancel()

    async def _port_opened(self) -> float:
        await eventually(lambda: not processes.port_refuses(self.rabbitmq.port), within=self.rabbitmq.start_timeout)
        return asyncio.get_running_loop().time()

    @contextlib.asynccontextmanager
    async def memory_alarm(self) -> AsyncIterator[None]:
        """Keep RabbitMQ's memory alarm on in a context; assert that it goes on and off."""
        await self.rabbitmq.ctl("set_vm_memory_high_watermark", "0.0000001")
        try:
            await eventually(self._alarmed, within=ALARM_TIMEOUT, message="the memory alarm did not go on")
            yield
        finally:
            await self.rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", MEMORY_LIMIT)
        await eventually(self._calm, within=ALARM_TIMEOUT, message="the memory alarm did not go off")

    async def _alarmed(self) -> bool:
        return "memory" in await self.rabbitmq.ctl("eval", "rabbit_alarm:get_alarms().")

    async def _calm(self) -> bool:
        return not await self._alarmed()


@contextlib.asynccontextmanager
async def open_private_backends(folder: Path, backends: SharedBackends) -> AsyncIterator[PrivateBackends]:
    """Run the servers below ``folder`` in a context; raise UnavailableError if RabbitMQ cannot be installed."""
    # Durable, unlike the shared server: without fsync a kill loses the last commits.
    servers = PrivateBackends(
        EmbeddedPostgres(folder / "postgres", tcp=True, max_connections=MAX_CONNECTIONS),
        EmbeddedValkey(folder / "valkey", tcp=True),
        EmbeddedRabbitMQ(await backends.rabbitmq_root(), folder / "rabbitmq", memory_limit=MEMORY_LIMIT),
    )
    everything = (servers.postgres, servers.valkey, servers.rabbitmq)
    try:
        await asyncio.gather(*(server.start() for server in everything))
        yield servers
    finally:
        for server in reversed(everything):
            await server.stop()
