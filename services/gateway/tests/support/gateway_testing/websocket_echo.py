"""A WebSocket echo behind the gateway, and clients of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gateway_testing.running import RunGateway, RunningGateway

USER = "01a200a6-d8e8-77ac-b25c-1d805c924a2b"


class FrameEcho:
    """Echoes every frame, and records it."""

    def __init__(self) -> None:
        self.seen: list[str | bytes] = []
        self.open = 0

    async def __call__(self, socket: ServerConnection) -> None:
        self.open += 1
        try:
            async for message in socket:
                self.seen.append(message)
                await socket.send(message)
        finally:
            self.open -= 1


@contextlib.asynccontextmanager
async def chatting(run_gateway: RunGateway, **settings: object) -> AsyncIterator[tuple[RunningGateway, FrameEcho]]:
    chat = FrameEcho()
    async with serve(chat, "127.0.0.1", 0, subprotocols=[Subprotocol("parley.v1")], compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with run_gateway(chat_url=f"http://127.0.0.1:{port}", **settings) as gateway:
            yield gateway, chat


def opened(gateway: RunningGateway, token: str | None = None, path: str = "/api/v1/chat/ws") -> connect:
    protocols = [Subprotocol("parley.v1")] + ([Subprotocol(f"parley.bearer.{token}")] if token else [])
    return connect(f"ws://127.0.0.1:{gateway.port}{path}", subprotocols=protocols, proxy=None)


def token_of(gateway: RunningGateway, **claims: object) -> str:
    return str(gateway.bearer(**{"sub": USER, **claims})["authorization"]).removeprefix("Bearer ")


def ping(ref: str) -> str:
    return orjson.dumps({"type": "ping", "ref": ref}).decode()


def auth(token: str) -> str:
    return orjson.dumps({"type": "auth", "token": token}).decode()


async def closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code, socket.close_reason
