"""An auth process of its own, for tests with several replicas."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple, Protocol

import httpx2

from auth.settings import AuthSettings
from parley_embedded.sockets import free_port
from parley_testing import eventually
from parley_testing.http.client import open_http
from parley_testing.stacks.service_process import START_SECONDS

PROGRAM = """
import sys
from functools import partial
from auth.main import create_app
from auth.settings import AuthSettings
from auth.wiring import wire
from parley.config.settings import load_or_exit
from parley.messaging.memory_bus import MemoryBus
from parley.web import server
settings = load_or_exit(AuthSettings)
app = create_app(settings, wire=partial(wire, bus=MemoryBus()))
sys.exit(server.main(app, app.state.runtime.lifecycle, settings))
"""


class Replica(NamedTuple):
    """A running auth process."""

    client: httpx2.AsyncClient
    pid: int


class StartReplica(Protocol):
    """Starts an auth process; keyword arguments become environment variables."""

    def __call__(
        self, settings: AuthSettings, **environment: str
    ) -> contextlib.AbstractAsyncContextManager[Replica]: ...


@contextlib.asynccontextmanager
async def running_replica(settings: AuthSettings, folder: Path, **more: str) -> AsyncIterator[Replica]:
    """Run one auth process that logs to ``folder``."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH", "HOME"}},
        "AUTH_DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "AUTH_SECRET_KEY": settings.auth_secret_key.get_secret_value(),
        "REGISTRATION": "open",
        "PORT": str(port),
        "ADMIN_PORT": "0",
        "LOG_LEVEL": "warning",
        **more,
    }
    with (folder / f"auth-{port}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, env=environment, stdout=log, stderr=log
        )
    limits = httpx2.Limits(max_connections=60)
    try:
        async with open_http(f"http://127.0.0.1:{port}", timeout=60, limits=limits) as client:
            await eventually(lambda: _is_ready(client), within=START_SECONDS)
            yield Replica(client, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def _is_ready(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/ready")).status_code == 200
    except httpx2.TransportError:
        return False
