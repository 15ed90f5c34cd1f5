"""An echo app behind the gateway's WebSocket protocol, on a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from websockets.frames import Frame, Opcode

from gateway.errors import ClientDisconnected
from gateway.http import Receive, Send
from gateway.main import create_app
from gateway.server.websocket_protocol import EXTENSION
from gateway.settings import GatewaySettings
from parley.config.settings import load
from parley.web.server import free_socket, make_server
from parley_testing import eventually

HEAD = (
    b"GET /api/v1/chat/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
)
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


class WebSocketEchoApp:
    """Echoes messages, with the server protocols of a gateway."""

    def __init__(self, settings: GatewaySettings) -> None:
        gateway = create_app(settings)
        self.http_protocol, self.websocket_protocol = gateway.http_protocol, gateway.websocket_protocol
        self.connections = gateway.connections
        self.received = 0
        self.knows_caller = True
        self.fails = False
        self.refuses = False
        self.running = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        if self.fails:
            raise asyncio.CancelledError
        if self.refuses:
            headers = [(b"content-type", b"application/problem+json")]
            await send({"type": "websocket.http.response.start", "status": 403, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": b"{}"})
            return
        if self.knows_caller:
            scope["extensions"][EXTENSION]()
        await receive()
        await send({"type": "websocket.accept"})
        self.running += 1
        try:
            with contextlib.suppress(ClientDisconnected):
                await self.echo(receive, send)
        finally:
            self.running -= 1

    async def echo(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            self.received += 1
            if message["text"] == "close":
                await send({"type": "websocket.close", "code": 4401})
                return
            await send({"type": "websocket.send", "text": message["text"]})


@contextlib.asynccontextmanager
async def serving(**overrides: object) -> AsyncIterator[tuple[WebSocketEchoApp, int]]:
    given = {"redis_url": "redis://localhost/0", "public_url": "https://chat.example", **overrides}
    settings = load(GatewaySettings, **given)
    app = WebSocketEchoApp(settings)
    server, bound = make_server(app, settings), free_socket()
    running = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        await eventually(lambda: server.started)
        yield app, bound.getsockname()[1]
    finally:
        server.should_exit = True
        await running
        bound.close()


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)
