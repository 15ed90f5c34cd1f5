"""A minimal app behind the gateway's server protocol, on a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from gateway.http import Receive, Send
from gateway.server.connections import ClientConnections
from gateway.server.protocol import ServerProtocol
from gateway.settings import GatewaySettings
from parley import errors
from parley.config.settings import load
from parley.errors import ParleyError


@dataclass
class EchoApp:
    """Responds with the path and the body of each request, and records the requests."""

    paths: list[str] = field(default_factory=list)
    headers: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    parts_sent: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        self.headers.append(scope["headers"])
        if scope["path"] == "/cancelled":
            raise asyncio.CancelledError
        if scope["path"] == "/silent":
            return
        if scope["path"] == "/parts":
            await self._send_parts(send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.waiting += 1
        await self.gate.wait()
        content = scope["path"].encode() + b" " + body
        length = (b"content-length", b"%d" % len(content))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": content})

    async def _send_parts(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2):
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
            self.parts_sent += 1
            await self.gate.wait()


@dataclass
class RefusalLimit:
    """Records the refused requests, and refuses those that follow ``limit`` of them."""

    limit: int = 1000
    counted: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, peer: str, forwarded_for: str) -> ParleyError | None:
        self.counted.append((peer, forwarded_for))
        return errors.RateLimited("Too many.") if len(self.counted) > self.limit else None


@dataclass
class EchoServer:
    """The app behind the gateway's protocol."""

    app: EchoApp
    connections: ClientConnections
    refusals: RefusalLimit
    port: int

    async def send_bytes(self, data: bytes, *, end: bool = False) -> bytes:
        """Send bytes and return everything until the server closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            if end:
                writer.write_eof()
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serve(**overrides: object) -> AsyncIterator[EchoServer]:
    settings = load(GatewaySettings, redis_url="redis://localhost/0", **overrides)
    app, refusals = EchoApp(), RefusalLimit()
    connections = ClientConnections(settings, str, refusals)
    config = uvicorn.Config(  # uvicorn's annotation allows only classes
        app,
        http=connections.protocol,  # type: ignore[arg-type]
        proxy_headers=False,
        ws="none",
        lifespan="off",
        log_config=None,
    )
    config.load()
    state = uvicorn.server.ServerState()
    loop = asyncio.get_running_loop()

    def protocol() -> ServerProtocol:
        return connections.protocol(config, state, {}, loop)

    async with await loop.create_server(protocol, "127.0.0.1", 0) as server:
        yield EchoServer(app, connections, refusals, server.sockets[0].getsockname()[1])
        for connection in list(connections.open):
            connection.transport.abort()


def post(*fields: bytes, body: bytes = b"", version: bytes = b"1.1", path: bytes = b"/body") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST %b HTTP/%b\r\n%b\r\n%b" % (path, version, lines, body)
