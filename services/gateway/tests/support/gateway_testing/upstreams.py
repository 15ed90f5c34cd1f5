"""Pools of scripted servers, requests that are forwarded through them, and servers that fail."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from gateway.proxy.bodies import NO_BODY
from gateway.proxy.forwarding import ForwardedRequest, RequestForwarder
from gateway.request import Request
from gateway.routes import Route, route
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.pool import Pool, PoolLimits
from parley_testing.http.scripted_server import RecordedRequest, ScriptedServer

CHAT = route("GET POST", "/chat", "chat", "chat:write", timeout=5, keyed=True)


async def reset(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def hang(_seen: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def no_message() -> dict[str, str]:
    """Stand for a client that stays connected."""
    await asyncio.sleep(30)
    return {"type": "http.disconnect"}


@contextlib.asynccontextmanager
async def pool_of(*servers: ScriptedServer) -> AsyncIterator[Pool]:
    """A pool that prefers its servers in the given order."""
    pool = Pool("chat", [Endpoint("127.0.0.1", server.port) for server in servers], PoolLimits(connect_timeout=20))
    for number, endpoint in enumerate(pool.endpoints):
        endpoint.active = 9 * number
    yield pool
    pool.close()
    await asyncio.sleep(0)


async def forward(pool: Pool, request: Request, route: Route = CHAT) -> ForwardedRequest:
    forwarded = await RequestForwarder({"chat": pool}).forward(request, route, NO_BODY, no_message)
    await forwarded.stop_tasks()
    forwarded.release(request)
    return forwarded
