"""Chat services that run in the process of the tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from fastapi import FastAPI

from chat.main import create_app
from chat.settings import ChatSettings
from chat.wiring import ChatServices
from chat_testing.stub_history import StubHistory
from chat_testing.users import ChatUser
from chat_testing.wiring import REDIS_TIMEOUT, wire_for_tests
from parley.config.settings import load
from parley.ids import new_id
from parley.messaging import outbox
from parley.messaging.memory_bus import MemoryBus
from parley.storage import migrations
from parley.storage.postgres import Pool, open_pool
from parley.web.runtime import Runtime
from parley.web.server import free_socket, make_server
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_testing.http.client import open_http
from parley_testing.security.token_issuer import ALL_SCOPES, TestIssuer


class ChatReplica:
    """One running chat service with a client, and a pool of its database."""

    def __init__(self, app: FastAPI | None, url: str, dsn: str, issuer: TestIssuer, pool: Pool, bus: MemoryBus) -> None:
        self._app, self.url, self.dsn, self.issuer, self.pool, self.bus = app, url, dsn, issuer, pool, bus
        self.client = open_http(url, timeout=60)

    @property
    def app(self) -> FastAPI:
        assert self._app is not None, "the service runs in another process"
        return self._app

    @property
    def wired(self) -> ChatServices:
        wired: ChatServices = self.app.state.wired
        return wired

    @property
    def runtime(self) -> Runtime:
        runtime: Runtime = self.app.state.runtime
        return runtime

    def user(self, user_id: UUID | None = None, scope: str = ALL_SCOPES) -> ChatUser:
        """Return a user of this replica, a new one without ``user_id``."""
        return ChatUser(self, user_id or new_id(), scope)

    def as_seen_by(self, user: ChatUser) -> ChatUser:
        """Return the same user as a caller of this replica."""
        return self.user(user.id)

    def sample(self, name: str, **labels: str) -> float:
        """Return the value of a metric, 0 if it has none."""
        return float(self.runtime.metrics.registry.get_sample_value(name, labels) or 0)

    async def outbox(self, partition_key: str) -> list[dict[str, Any]]:
        """Return name, sequence and data of the published events of a conversation, in order."""
        rows = await self.pool.fetch(
            "SELECT name, sequence, data FROM outbox WHERE partition_key = $1 ORDER BY sequence", partition_key
        )
        return [dict(row) for row in rows]

    async def running_turns(self, user_id: UUID | None = None) -> int:
        """Return the number of running turns, of one user or of all."""
        query = "SELECT count(*) FROM turns WHERE status = 'running' AND ($1::uuid IS NULL OR user_id = $1)"
        return int(await self.pool.fetchval(query, user_id))


ReplicaPair = tuple[ChatReplica, ChatReplica]


class OpenReplica(Protocol):
    """Opens a chat service on a database with changed settings."""

    def __call__(
        self, dsn: str, *, bus: MemoryBus | None = None, **changed: Any
    ) -> contextlib.AbstractAsyncContextManager[ChatReplica]: ...


class NewDatabase(Protocol):
    """Creates a migrated database; returns its DSN."""

    async def __call__(self) -> str: ...


async def migrate(dsn: str) -> None:
    """Migrate a database of chat."""
    await migrations.migrate(dsn, outbox.MIGRATIONS, "chat")


@contextlib.asynccontextmanager
async def own_postgres(folder: Path, *, tcp: bool = True) -> AsyncIterator[EmbeddedPostgres]:
    """A server with chat's database, for a test that stops or changes it."""
    server = EmbeddedPostgres(folder / "postgres", durable=True, tcp=tcp)
    await server.start()
    try:
        await server.databases.create_database("chat")
        await migrate(server.databases.url("chat"))
        yield server
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve an app on a free port; yields its URL."""
    socket = free_socket()
    server = make_server(app, ChatSettings.model_construct())
    task = asyncio.create_task(server.serve(sockets=[socket]))
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await task
        socket.close()


@contextlib.asynccontextmanager
async def running_replica(
    dsn: str, issuer: TestIssuer, bus: MemoryBus, options: dict[str, Any], *, redis_timeout: float = REDIS_TIMEOUT
) -> AsyncIterator[ChatReplica]:
    """Run a chat service in this process."""

    @contextlib.asynccontextmanager
    async def wire(settings: ChatSettings, runtime: Runtime) -> AsyncIterator[ChatServices]:
        async with wire_for_tests(
            settings, runtime, bus=bus, verifier=issuer.verifier(), redis_timeout=redis_timeout
        ) as services:
            yield services

    app = create_app(load(ChatSettings, database_url=dsn, **options), wire=wire)
    async with app.router.lifespan_context(app), serving(app) as url, open_pool(dsn, size=4) as pool:
        replica = ChatReplica(app, url, dsn, issuer, pool, bus)
        try:
            yield replica
        finally:
            await replica.client.aclose()


def replica_options(redis_url: str, history: StubHistory, provider_url: str) -> dict[str, Any]:
    """Return the settings of a replica on these backends."""
    return {
        "admin_port": 0,
        "redis_url": redis_url,
        "auth_url": history.url,
        "history_url": history.url,
        "internal_client_secret": "secret",
        "openai_base_url": provider_url,
        "openai_api_key": "canary-provider-key",
        "openai_model": "fake",
        "model_provider": "openai",
        "model_context_window": 8192,
        "model_max_output_tokens": 1024,
    }
