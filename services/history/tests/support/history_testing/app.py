"""The history app over a real Postgres, fed through the in-memory bus, and users of its API."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx2
from fastapi import FastAPI

from history.main import create_app
from history.settings import HistorySettings
from history.wiring import HistoryServices, wire
from parley.config.settings import load
from parley.ids import new_id
from parley.messaging.memory_bus import MemoryBus
from parley.storage.postgres import Pool, open_pool
from parley.web.runtime import Runtime
from parley_events.cloudevents import CloudEvent
from parley_testing.security.token_issuer import ALL_SCOPES, TestIssuer

OpenHistory = Callable[..., contextlib.AbstractAsyncContextManager["RunningHistory"]]
"""Opens a RunningHistory on a database; keyword arguments change its settings."""
NewDatabase = Callable[[], Awaitable[str]]
"""Creates a migrated database and returns its DSN."""


class RunningHistory:
    """A running app with its bus and its database."""

    def __init__(self, app: FastAPI, bus: MemoryBus, issuer: TestIssuer, pool: Pool, settings: HistorySettings) -> None:
        self.app, self.bus, self.issuer, self.pool, self.settings = app, bus, issuer, pool, settings

    def user(self, user_id: UUID | None = None, scope: str = ALL_SCOPES) -> "ApiUser":
        """Return a user of the API."""
        return ApiUser(self, user_id or new_id(), scope)

    def internal_client(self) -> "ApiUser":
        """Return a client that may call the internal routes."""
        return ApiUser(self, new_id(), "internal")

    async def publish(self, *events: CloudEvent) -> None:
        """Publish events one after the other; returns when each is stored."""
        for event in events:
            await self.bus.publish(event)

    async def outbox_events(self, name: str) -> list[dict[str, Any]]:
        """Return the data of the events that the service has written to its outbox."""
        return [row["data"] for row in await self.pool.fetch("SELECT data FROM outbox WHERE name = $1", name)]


class ApiUser:
    """A caller of the API."""

    def __init__(self, history: RunningHistory, user_id: UUID, scope: str) -> None:
        self.id = user_id
        self._client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=history.app),
            base_url="http://test",
            headers={"Authorization": f"Bearer {history.issuer.token(user_id, scope=scope)}"},
            timeout=30,
        )

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request."""
        return await self._client.request(method, path, **options)

    async def get(self, path: str, status: int = 200, **params: Any) -> Any:
        """Return the JSON body of a GET; asserts its status."""
        response = await self.request("GET", path, params=params)
        assert response.status_code == status, response.text
        return response.json()


@contextlib.asynccontextmanager
async def open_history(dsn: str, redis_url: str, issuer: TestIssuer, **changed: Any) -> AsyncIterator[RunningHistory]:
    """Run the app on a database, with changed settings."""
    bus = MemoryBus()
    settings = load(HistorySettings, **{"admin_port": 0, "database_url": dsn, "redis_url": redis_url, **changed})

    @contextlib.asynccontextmanager
    async def wire_for_tests(settings: HistorySettings, runtime: Runtime) -> AsyncIterator[HistoryServices]:
        async with wire(settings, runtime, bus=bus) as services:
            yield dataclasses.replace(services, verifier=issuer.verifier())

    app = create_app(settings, wire=wire_for_tests)
    async with app.router.lifespan_context(app), open_pool(dsn, size=4) as pool:
        yield RunningHistory(app, bus, issuer, pool, settings)
