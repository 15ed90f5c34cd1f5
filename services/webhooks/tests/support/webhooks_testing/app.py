"""The webhook app over a real Postgres, fed through the in-memory bus, and users of its API."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx2
from fastapi import FastAPI

from parley.config.settings import load
from parley.ids import new_id
from parley.messaging.memory_bus import MemoryBus
from parley.storage.postgres import Pool, open_pool
from parley.web.runtime import Runtime
from parley_events.cloudevents import CloudEvent
from parley_events.models import TurnEnded
from parley_events.testing.samples import sample
from parley_testing.security.token_issuer import TestIssuer
from webhooks.main import create_app
from webhooks.settings import WebhooksSettings
from webhooks.wiring import WebhookServices, wire

SECRET_KEY = "".join(f"{(7 * n) % 256:02x}" for n in range(32))
LOOPBACK: dict[str, Any] = {"webhooks_allow_http": True, "webhooks_allowed_networks": "127.0.0.0/8"}
OpenWebhooks = Callable[..., contextlib.AbstractAsyncContextManager["RunningWebhooks"]]
"""Opens a RunningWebhooks on a database; keyword arguments change its settings."""
NewDatabase = Callable[[], Awaitable[str]]


class RunningWebhooks:
    """A running app with its bus and its database."""

    def __init__(self, app: FastAPI, bus: MemoryBus, issuer: TestIssuer, pool: Pool) -> None:
        self.app, self.bus, self.issuer, self.pool = app, bus, issuer, pool

    def user(self, user_id: UUID | None = None, scope: str = "webhooks") -> "WebhookOwner":
        """Return a user of the API."""
        return WebhookOwner(self, user_id or new_id(), scope)

    async def publish(self, *events: CloudEvent) -> None:
        """Publish events one after the other; returns when the deliveries of each are stored."""
        for event in events:
            await self.bus.publish(event)


class WebhookOwner:
    """A caller of the API."""

    def __init__(self, webhooks: RunningWebhooks, user_id: UUID, scope: str) -> None:
        self.id = user_id
        self._client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=webhooks.app),
            base_url="http://test",
            headers={"Authorization": f"Bearer {webhooks.issuer.token(user_id, scope=scope)}"},
            timeout=30,
        )

    async def send(self, method: str, path: str = "", *, status: int = 200, **options: Any) -> Any:
        """Return the JSON body of a response; asserts its status."""
        response = await self.request(method, path, **options)
        assert response.status_code == status, response.text
        return response.json() if response.content else None

    async def request(self, method: str, path: str = "", **options: Any) -> httpx2.Response:
        """Return a response."""
        return await self._client.request(method, f"/api/v1/webhooks{path}", **options)

    async def create(self, url: str, *events: str, **members: Any) -> dict[str, Any]:
        """Create a webhook."""
        body = {"url": url, "events": list(events or ["#"]), **members}
        found: dict[str, Any] = await self.send("POST", status=201, json=body)
        return found

    async def deliveries(self, webhook: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
        """Return the delivery log, newest first."""
        found: list[dict[str, Any]] = (await self.send("GET", f"/{webhook['id']}/deliveries", params=params))["data"]
        return found

    def turn(self, conversation: UUID | None = None, **changes: Any) -> CloudEvent:
        """Return the event of a turn of this user."""
        return sample(TurnEnded, user_id=self.id, conversation_id=conversation or new_id(), turn_id=new_id(), **changes)


@contextlib.asynccontextmanager
async def open_webhooks(dsn: str, redis_url: str, issuer: TestIssuer, **changed: Any) -> AsyncIterator[RunningWebhooks]:
    """Run the app on a database, with changed settings."""
    bus = MemoryBus()
    given = {"admin_port": 0, "database_url": dsn, "redis_url": redis_url, "webhooks_secret_key": SECRET_KEY}
    settings = load(WebhooksSettings, **{**given, **LOOPBACK, **changed})

    @contextlib.asynccontextmanager
    async def wire_for_tests(settings: WebhooksSettings, runtime: Runtime) -> AsyncIterator[WebhookServices]:
        async with wire(settings, runtime, bus=bus) as services:
            yield dataclasses.replace(services, verifier=issuer.verifier())

    app = create_app(settings, wire=wire_for_tests)
    async with app.router.lifespan_context(app), open_pool(dsn, size=4) as pool:
        yield RunningWebhooks(app, bus, issuer, pool)
