"""A whole auth service over throw-away backends, and people who use it."""

import asyncio
import base64
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import jwt
import pytest
from fastapi import FastAPI

from auth.main import create_app
from auth.security.password_hashing import HashCost
from auth.settings import AuthSettings
from auth.wiring import Wired, wire
from parley.config.settings import load
from parley.messaging import outbox
from parley.messaging.memory_bus import MemoryBus
from parley.storage import migrations
from parley.storage.postgres import set_json_codecs
from parley_testing import eventually
from parley_testing.backends.shared import SharedBackends

SECRET_KEY = base64.b64encode(secrets.token_bytes(32)).decode()
GATEWAY_SECRET = "gateway-secret-" + "x" * 32
PASSWORD = "correct horse battery staple"
CHEAP = HashCost(memory_kib=1024, passes=1)
"""A hash that costs a fortieth: where the subject is not the hash, its price buys nothing."""
FORM = "application/x-www-form-urlencoded"


@dataclass
class Person:
    """Somebody with an account and the tokens of one log-in."""

    client: httpx2.AsyncClient
    username: str
    id: str = ""
    tokens: dict[str, Any] = field(default_factory=dict)

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


@dataclass
class Auth:
    """One running auth service."""

    app: FastAPI
    client: httpx2.AsyncClient
    settings: AuthSettings
    bus: MemoryBus

    @property
    def wired(self) -> Wired:
        found: Wired = self.app.state.wired
        return found

    async def person(self, *, admin: bool = False) -> Person:
        person = Person(self.client, f"user-{secrets.token_hex(6)}")
        body = {"username": person.username, "email": f"{person.username}@example.org", "password": PASSWORD}
        made = await self.client.post("/api/v1/auth/register", json=body)
        assert made.status_code == 201, made.text
        person.id = made.json()["id"]
        if admin:
            async with pool(self) as connection:
                await connection.execute(
                    "UPDATE users SET scopes = scopes || '{admin}' WHERE username = $1", person.username
                )
        assert (await person.login()).status_code == 200
        return person

    async def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        async with pool(self) as connection:
            return [dict(row) for row in await connection.fetch(query, *arguments)]

    async def events(self, subject: str) -> list[tuple[str, dict[str, Any]]]:
        rows = await self.rows("SELECT name, data FROM outbox WHERE subject = $1 ORDER BY position", subject)
        return [(row["name"], row["data"]) for row in rows]


@contextlib.asynccontextmanager
async def pool(auth: Auth) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(auth.settings.database_url.get_secret_value())
    await set_json_codecs(connection)
    try:
        yield connection
    finally:
        await connection.close()


async def _migrate(dsn: str) -> None:
    await migrations.migrate(dsn, outbox.MIGRATIONS, "auth")


MakeSettings = Callable[..., Awaitable[AuthSettings]]


@pytest.fixture(scope="module")
async def make_settings(backends: SharedBackends) -> AsyncIterator[MakeSettings]:
    made: list[str] = []

    async def make(**overrides: Any) -> AuthSettings:
        if "database_url" not in overrides:
            overrides["database_url"] = await backends.fresh_database(_migrate, "auth")
            made.append(overrides["database_url"])
        defaults = {
            "redis_url": await backends.redis_url(),
            "auth_secret_key": SECRET_KEY,
            "registration": "open",
            "admin_port": 0,
            "internal_clients": f'{{"gateway": "{GATEWAY_SECRET}"}}',
        }
        return load(AuthSettings, **(defaults | overrides))

    yield make
    for dsn in made:
        await backends.drop(dsn)


@contextlib.asynccontextmanager
async def running(
    settings: AuthSettings, bus: MemoryBus | None = None, hash_cost: HashCost | None = CHEAP
) -> AsyncIterator[Auth]:
    bus = MemoryBus() if bus is None else bus
    app = create_app(settings, wire=lambda s, r: wire(s, r, bus=bus, hash_cost=hash_cost))
    transport = httpx2.ASGITransport(app=app)
    async with (
        asyncio.timeout(120),
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client,
    ):
        yield Auth(app, client, settings, bus)


Start = Callable[..., contextlib.AbstractAsyncContextManager[Auth]]


@pytest.fixture(scope="session")
def start() -> Start:
    return running


@pytest.fixture(scope="module")
async def auth(make_settings: MakeSettings) -> AsyncIterator[Auth]:
    async with running(await make_settings()) as found:
        yield found


PROGRAM = """
import sys
from parley.web import server
from parley.messaging.memory_bus import MemoryBus
from parley.config.settings import load_or_exit
from auth.security.password_hashing import HashCost
from auth.main import create_app
from auth.settings import AuthSettings
from auth.wiring import wire
settings = load_or_exit(AuthSettings)
app = create_app(settings, wire=lambda s, r: wire(s, r, bus=MemoryBus()))
sys.exit(server.main(app, app.state.runtime.lifecycle, settings))
"""


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def running_replica(settings: Any, folder: Path, **more: str) -> AsyncIterator[tuple[httpx2.AsyncClient, int]]:
    """Run one auth process; yields a client of it and its process id."""
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
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=limits) as client:
            await eventually(lambda: _is_ready(client), within=30)
            yield client, process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def _is_ready(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/ready")).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture
def replica(tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[Any]]:
    """Start one auth process: ``async with replica(settings) as (client, pid)``."""
    return lambda settings, **more: running_replica(settings, tmp_path, **more)
