"""History over a real Postgres, fed through the in-process bus."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from history.main import create_app
from history.settings import HistorySettings
from history.wiring import Wired, wire
from parley.config.settings import load
from parley.ids import new_id
from parley.messaging import outbox
from parley.messaging.memory_bus import MemoryBus
from parley.storage import migrations
from parley.storage.postgres import Pool, open_pool
from parley.web.runtime import Runtime
from parley_events.cloudevents import CloudEvent
from parley_testing.backends.shared import SharedBackends
from parley_testing.security.token_issuer import ALL_SCOPES, TestIssuer


class World:
    """A running history: its app, bus and database."""

    def __init__(self, app: FastAPI, bus: MemoryBus, issuer: TestIssuer, pool: Pool, settings: HistorySettings) -> None:
        self.app, self.bus, self.issuer, self.pool, self.settings = app, bus, issuer, pool, settings

    def person(self, user_id: UUID | None = None, scope: str = ALL_SCOPES) -> "Person":
        """Return somebody who uses the API."""
        return Person(self, user_id or new_id(), scope)

    def service(self) -> "Person":
        """Return one of our own services."""
        return Person(self, new_id(), "internal")

    async def tell(self, *events: CloudEvent) -> None:
        """Publish events, one after the other."""
        for event in events:
            await self.bus.publish(event)

    async def own_events(self, name: str) -> list[dict[str, Any]]:
        """Return what history has written into its outbox."""
        return [row["data"] for row in await self.pool.fetch("SELECT data FROM outbox WHERE name = $1", name)]


class Person:
    """A caller of the API."""

    def __init__(self, world: World, user_id: UUID, scope: str) -> None:
        self.id, self.world = user_id, world
        token = world.issuer.token(user_id, scope=scope)
        self._client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=world.app),
            base_url="http://test",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request."""
        return await self._client.request(method, path, **options)

    async def get(self, path: str, status: int = 200, **params: Any) -> Any:
        """Return the JSON of a GET."""
        response = await self.ask("GET", path, params=params)
        assert response.status_code == status, response.text
        return response.json()


async def _migrate(dsn: str) -> None:
    await migrations.migrate(dsn, outbox.MIGRATIONS, "history")


OpenWorld = Callable[..., contextlib.AbstractAsyncContextManager[World]]


@pytest.fixture(scope="session")
def issuer() -> TestIssuer:
    return TestIssuer()


@pytest.fixture(scope="session")
async def new_database(backends: SharedBackends) -> Callable[[], Awaitable[str]]:
    async def make() -> str:
        return await backends.fresh_database(_migrate, "history")

    return make


@pytest.fixture(scope="session")
async def open_world(backends: SharedBackends, issuer: TestIssuer) -> OpenWorld:
    """Open a history on a database, its settings changed as a test likes."""

    @contextlib.asynccontextmanager
    async def opened(dsn: str, bus: MemoryBus | None = None, **changed: Any) -> AsyncIterator[World]:
        own_bus = bus or MemoryBus()
        options = {"admin_port": 0, "database_url": dsn, "redis_url": await backends.redis_url(), **changed}
        settings = load(HistorySettings, **options)

        @contextlib.asynccontextmanager
        async def wire_for_tests(settings: HistorySettings, runtime: Runtime) -> AsyncIterator[Wired]:
            async with wire(settings, runtime, bus=own_bus) as wired:
                yield dataclasses.replace(wired, verifier=issuer.verifier())

        app = create_app(settings, wire=wire_for_tests)
        async with app.router.lifespan_context(app), open_pool(dsn, size=4) as pool:
            yield World(app, own_bus, issuer, pool, settings)

    return opened


@pytest.fixture(scope="session")
async def world(open_world: OpenWorld, new_database: Callable[[], Awaitable[str]]) -> AsyncIterator[World]:
    """One history for all tests: each test has people of its own."""
    async with asyncio.timeout(None), open_world(await new_database()) as found:
        yield found
