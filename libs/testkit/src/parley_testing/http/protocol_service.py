"""An app behind the protocol of services, on a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from parley.config.settings import ServiceSettings, load
from parley.web.server import make_server
from parley.web.service_protocol import ServiceHttpProtocol
from parley_testing.waiting import eventually

Message: TypeAlias = MutableMapping[str, Any]
"""A scope, an event that is received, or one that is sent, as ASGI says."""
REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


@dataclass
class ProtocolService:
    """An app that answers 204 once its gate is open, and the headers that it received."""

    port: int = 0
    connections: list[ServiceHttpProtocol] = field(default_factory=list)
    headers: list[dict[bytes, bytes]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
        self.headers.append(dict(scope["headers"]))
        await self.gate.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    def late(self, seconds: float) -> bool:
        """Return whether the connection is closed when it is checked after these seconds."""
        (connection,) = self.connections
        connection._deadline -= seconds
        connection.check_deadline()
        connection._deadline += seconds
        return connection.transport.is_closing()


@contextlib.asynccontextmanager
async def open_service(
    app: ProtocolService | None = None,
) -> AsyncIterator[tuple[ProtocolService, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve, and open one connection."""
    app, loop = app or ProtocolService(), asyncio.get_running_loop()
    app.gate.set()
    server = make_server(app, load(ServiceSettings, admin_port=0))
    config, state = server.config, server.server_state
    config.load()

    def protocol() -> ServiceHttpProtocol:
        app.connections.append(ServiceHttpProtocol(config, state, {}, loop))
        return app.connections[-1]

    async with await loop.create_server(protocol, "127.0.0.1", 0) as listening:
        app.port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        await eventually(lambda: app.connections)
        yield app, reader, writer
        writer.close()
        for connection in app.connections:
            connection.transport.abort()
        app.gate.set()
        await eventually(lambda: not state.tasks)
