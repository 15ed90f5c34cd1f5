"""An auth app in this process, and people who use it."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Any, Protocol

import asyncpg
import httpx2
import jwt
from fastapi import FastAPI

from auth.container import AuthServices
from auth.main import create_app
from auth.security.password_hashing import HashCost, PasswordHasher, default_workers
from auth.settings import AuthSettings
from auth.wiring import open_services
from parley.messaging.memory_bus import MemoryBus
from parley.storage.postgres import Connection, set_json_codecs
from parley.web.runtime import Runtime

PASSWORD = "correct horse battery staple"
GATEWAY_SECRET = "gateway-secret-" + "x" * 32
CHEAP_HASH = HashCost(memory_kib=1024, iterations=1)
"""A hash at a fortieth of the price, for tests whose subject is not the hash."""


class MakeSettings(Protocol):
    """Makes settings with a fresh database unless ``database_url`` is given."""

    def __call__(self, **overrides: Any) -> Awaitable[AuthSettings]: ...


class StartAuth(Protocol):
    """Starts an auth app; ``hash_cost`` None hashes as production does."""

    def __call__(
        self, settings: AuthSettings, *, bus: MemoryBus | None = None, hash_cost: HashCost | None = CHEAP_HASH
    ) -> contextlib.AbstractAsyncContextManager["RunningAuth"]: ...


@dataclass
class Person:
    """A person with an account and the tokens of one login."""

    client: httpx2.AsyncClient
    username: str
    id: str = ""
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{self.username}@example.org"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    @property
    def claims(self) -> dict[str, Any]:
        return jwt.decode(self.tokens["access_token"], options={"verify_signature": False})

    async def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return await self.client.request(method, path, headers=self.headers | options.pop("headers", {}), **options)

    async def login(self, password: str = PASSWORD, **form: str) -> httpx2.Response:
        found = await self.client.post(
            "/api/v1/auth/token",
            data={"grant_type": "password", "username": self.username, "password": password, **form},
        )
        if found.status_code == 200:
            self.tokens = found.json()
        return found

    async def refresh(self, token: str | None = None, **form: str) -> httpx2.Response:
        return await self.client.post(
            "/api/v1/auth/token",
            data={"grant_type": "refresh_token", "refresh_token": token or self.tokens["refresh_token"], **form},
        )

    async def other_login(self) -> "Person":
        """Return the same person on another device."""
        other = Person(self.client, self.username, self.id)
        assert (await other.login()).status_code == 200
        return other


@dataclass
class RunningAuth:
    """An auth app with a client and its database."""

    app: FastAPI
    client: httpx2.AsyncClient
    settings: AuthSettings
    bus: MemoryBus

    @property
    def services(self) -> AuthServices:
        found: AuthServices = self.app.state.wired
        return found

    async def person(self, *, admin: bool = False) -> Person:
        person = Person(self.client, f"user-{secrets.token_hex(6)}")
        body = {"username": person.username, "email": person.address, "password": PASSWORD}
        made = await self.client.post("/api/v1/auth/register", json=body)
        assert made.status_code == 201, made.text
        person.id = made.json()["id"]
        if admin:
            await self.rows(
                "UPDATE users SET scopes = scopes || '{admin}' WHERE username = $1 RETURNING id", person.username
            )
        assert (await person.login()).status_code == 200
        return person

    async def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        async with self.connection() as connection:
            return [dict(row) for row in await connection.fetch(query, *arguments)]

    async def events(self, subject: str) -> list[tuple[str, dict[str, Any]]]:
        rows = await self.rows("SELECT name, data FROM outbox WHERE subject = $1 ORDER BY position", subject)
        return [(row["name"], row["data"]) for row in rows]

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        connection = await asyncpg.connect(self.settings.database_url.get_secret_value())
        await set_json_codecs(connection)
        try:
            yield connection
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def running_auth(
    settings: AuthSettings, *, bus: MemoryBus | None = None, hash_cost: HashCost | None = CHEAP_HASH
) -> AsyncIterator[RunningAuth]:
    """Run an app over a memory bus and, by default, cheap password hashes."""
    used_bus = MemoryBus() if bus is None else bus

    @contextlib.asynccontextmanager
    async def wire(given: AuthSettings, runtime: Runtime) -> AsyncIterator[AuthServices]:
        hasher = PasswordHasher(workers=default_workers(), queue=given.password_queue, cost=hash_cost)
        with contextlib.closing(hasher):
            async with open_services(given, runtime, hasher, bus=used_bus) as services:
                yield services

    app = create_app(settings, wire=wire)
    transport = httpx2.ASGITransport(app=app)
    async with (
        asyncio.timeout(120),
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client,
    ):
        yield RunningAuth(app, client, settings, used_bus)
