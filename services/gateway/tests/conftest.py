"""A gateway over real sockets, in front of upstreams whose every byte the test decides."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from gateway.main import Gateway, create_app
from gateway.routes import Route
from gateway.settings import GatewaySettings
from parley.config.settings import load
from parley.web.lifespan import lifespan
from parley.web.server import free_socket, make_server
from parley_embedded.sockets import free_port
from parley_testing import eventually
from parley_testing.backends.shared import SharedBackends
from parley_testing.http.scripted_server import RecordedRequest, Responder, ScriptedServer, respond, scripted_server
from parley_testing.security.token_issuer import TestIssuer

CLIENTS = 200
PROGRAM = str(Path(sys.executable).parent / "parley-gateway")


@dataclass
class World:
    """A running gateway, its upstreams, and who signs its tokens."""

    app: Gateway
    port: int
    issuer: TestIssuer
    auth: ScriptedServer
    chat: ScriptedServer
    history: ScriptedServer
    client: httpx2.AsyncClient

    def bearer(self, **claims: Any) -> dict[str, str]:
        """Return the Authorization header of a new user."""
        return {"authorization": f"Bearer {self.issuer.sign({**self.issuer.claims(), **claims})}"}

    async def raw(self, data: bytes, *, within: float = 5) -> bytes:
        """Send bytes, return everything until the gateway closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(within):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


Worlds = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
async def worlds(backends: SharedBackends) -> Worlds:
    """Make a world; keyword arguments are settings, but for ``routes``, which is the table, the real one by default."""
    redis_url = await backends.redis_url()

    @contextlib.asynccontextmanager
    async def make(*, routes: Iterable[Route] | None = None, **overrides: Any) -> AsyncIterator[World]:
        issuer = TestIssuer()

        async def auth_answer(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            keys = seen.target == "/.well-known/jwks.json"
            await respond(200, orjson.dumps(issuer.jwks()) if keys else b'{"service":"auth"}')(seen, writer)

        async with contextlib.AsyncExitStack() as stack:
            auth = await stack.enter_async_context(scripted_server(auth_answer))
            chat = await stack.enter_async_context(scripted_server())
            history = await stack.enter_async_context(scripted_server())
            urls = {"auth_url": auth.url, "chat_url": chat.url, "history_url": history.url}
            # A busy machine may keep Redis waiting: what limits do then has tests of its own.
            usual = {"admin_port": 0, "log_level": "warning", "redis_url": redis_url, "rate_limit_patience": 1.0}
            settings = load(GatewaySettings, **{**usual, **urls, **overrides})
            app = create_app(settings, routes=routes)
            port = await stack.enter_async_context(_served(app, settings))
            client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10)
            await stack.enter_async_context(client)
            yield World(app, port, issuer, auth, chat, history, client)

    return make


@contextlib.asynccontextmanager
async def _served(app: Gateway, settings: GatewaySettings) -> AsyncIterator[int]:
    server = make_server(app, settings)
    bound = free_socket()
    async with lifespan(app):
        running = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            await eventually(lambda: server.started)
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            async with asyncio.timeout(10):
                await running
            bound.close()


@pytest.fixture
async def world(worlds: Worlds) -> AsyncIterator[World]:
    """A world with default settings."""
    async with worlds() as found:
        yield found


class Program:
    """The gateway as its own processes."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, issuer: TestIssuer) -> None:
        self.process, self.port, self.issuer = process, port, issuer
        self.url = f"http://127.0.0.1:{port}"

    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.issuer.token()}"}

    def client(self) -> httpx2.AsyncClient:
        limits = httpx2.Limits(max_connections=CLIENTS)
        return httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=20, limits=limits)


Programs = Callable[..., AbstractAsyncContextManager[Program]]


@pytest.fixture
async def programs(backends: SharedBackends) -> Programs:
    """Run the gateway as its own processes; keyword arguments are environment variables."""
    redis_url = await backends.redis_url()
    return partial(_program, redis_url)


@contextlib.asynccontextmanager
async def _program(
    redis_url: str, answer: Responder, *, command: Sequence[str] = (PROGRAM,), **settings: Any
) -> AsyncIterator[Program]:
    issuer, port = TestIssuer(), free_port()

    async def upstream_answer(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        keys = respond(200, orjson.dumps(issuer.jwks()))
        await (keys if seen.target.endswith("jwks.json") else answer)(seen, writer)

    async with scripted_server(upstream_answer) as upstream:
        values = {
            "PORT": port, "ADMIN_PORT": 0, "REDIS_URL": redis_url, "AUTH_URL": upstream.url,
            "CHAT_URL": upstream.url, "HISTORY_URL": upstream.url, "LOG_LEVEL": "warning",
            "RATE_LIMIT_PATIENCE": 3, **settings,
        }  # fmt: skip
        environment = {**os.environ, **{name: str(value) for name, value in values.items()}}
        process = await asyncio.create_subprocess_exec(*command, env=environment)
        try:
            found = Program(process, port, issuer)
            await eventually(lambda: _ready(found), within=20)
            yield found
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(20):
                    await process.wait()


async def _ready(found: Program) -> bool:
    try:
        async with found.client() as client:
            return bool((await client.get("/ready")).status_code == 200)
    except httpx2.HTTPError:
        return False
