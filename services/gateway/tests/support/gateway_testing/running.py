"""A gateway in the test's process, between real sockets and scripted services."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import httpx2
import orjson

from gateway import wiring
from gateway.main import Gateway, create_app
from gateway.route_table import RouteTable
from gateway.routes import Route, all_routes
from gateway.settings import GatewaySettings
from gateway.upstream.pool import Pool
from gateway.wiring import GatewayParts
from parley.config.settings import load
from parley.web.lifespan import lifespan
from parley.web.runtime import Runtime
from parley.web.server import free_socket, make_server
from parley.web.service import Wire
from parley_testing import eventually
from parley_testing.http.client import open_http
from parley_testing.http.scripted_server import RecordedRequest, ScriptedServer, respond, scripted_server
from parley_testing.security.token_issuer import TestIssuer


@dataclass
class RunningGateway:
    """A running gateway, its scripted services, and the issuer of its tokens."""

    app: Gateway
    port: int
    issuer: TestIssuer
    auth: ScriptedServer
    chat: ScriptedServer
    history: ScriptedServer
    client: httpx2.AsyncClient

    def bearer(self, **claims: object) -> dict[str, str]:
        """Return the Authorization header of a new user."""
        return {"authorization": f"Bearer {self.token(**claims)}"}

    def token(self, **claims: object) -> str:
        """Return an access token of a new user."""
        return self.issuer.sign({**self.issuer.claims(), **claims})

    def pool(self, service: str) -> Pool:
        return self.app.state.wired.pools[service]

    async def send_bytes(self, data: bytes, *, within: float = 5) -> bytes:
        """Send bytes and return everything until the gateway closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(within):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


class RunGateway(Protocol):
    """Runs a gateway with other settings or routes."""

    def __call__(
        self, routes: Iterable[Route] | None = None, /, **settings: object
    ) -> AbstractAsyncContextManager[RunningGateway]: ...


def gateway_runner(redis_url: str) -> RunGateway:
    """Return a runner of gateways that use this Redis."""

    @contextlib.asynccontextmanager
    async def run(routes: Iterable[Route] | None = None, /, **overrides: object) -> AsyncIterator[RunningGateway]:
        issuer = TestIssuer()

        async def auth_answer(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            keys = seen.target == "/.well-known/jwks.json"
            await respond(200, orjson.dumps(issuer.jwks()) if keys else b'{"service":"auth"}')(seen, writer)

        async with scripted_server(auth_answer) as auth, scripted_server() as chat, scripted_server() as history:
            settings = load(
                GatewaySettings,
                **{
                    "admin_port": 0,
                    "log_level": "warning",
                    "redis_url": redis_url,
                    "rate_limit_patience": 5.0,  # Redis can be slow on a busy machine
                    "anonymous_rate_limit": 100_000,  # all tests of a worker count on one address
                    "auth_url": auth.url,
                    "chat_url": chat.url,
                    "history_url": history.url,
                    **overrides,
                },
            )
            app = create_app(settings, wire=wire_with_routes(all_routes() if routes is None else routes))
            async with (
                _served(app, settings) as port,
                open_http(f"http://127.0.0.1:{port}", timeout=10) as client,
            ):
                yield RunningGateway(app, port, issuer, auth, chat, history, client)

    return run


def wire_with_routes(routes: Iterable[Route]) -> Wire[GatewaySettings, GatewayParts]:
    """Return a ``wire`` like the gateway's own, with another route table."""

    @contextlib.asynccontextmanager
    async def wire(settings: GatewaySettings, runtime: Runtime) -> AsyncIterator[GatewayParts]:
        async with (
            wiring.open_gateway_redis(settings, runtime) as redis,
            wiring.open_gateway_limiter(settings, runtime, redis) as limiter,
            wiring.assemble(settings, runtime, redis, limiter, RouteTable(routes)) as parts,
        ):
            yield parts

    return wire


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
